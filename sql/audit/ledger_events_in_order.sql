-- title: The feed tells of each order in the order in which it happened
-- database: ledger
-- kind: invariant
-- a row means: this event stands in the feed behind one of the same order that tells of something later
select order_ledger_id, id, type, seq, seq_before, transaction_id::text as transaction_id, ordinal
from (select aggregateid as order_ledger_id, id, type, seq, transaction_id, ordinal,
          lag(seq) over (partition by aggregateid order by transaction_id, ordinal) as seq_before
      from outbox) o
where seq < seq_before;
