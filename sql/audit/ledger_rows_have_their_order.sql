-- title: No journal entry and no event without its order
-- database: ledger
-- kind: invariant
-- a row means: this order is not in the ledger, though so many of its rows are: written without it, or left behind
select r.order_ledger_id, r.stands_in, count(*) as rows
from (select order_ledger_id, 'ledger_journal' as stands_in from ledger_journal
      union all select aggregateid, 'outbox' from outbox) r
where not exists (select from order_ledger l where l.order_ledger_id = r.order_ledger_id)
group by r.order_ledger_id, r.stands_in;
