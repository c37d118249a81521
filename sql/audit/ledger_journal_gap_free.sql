-- title: The journal has no gaps
-- database: ledger
-- kind: invariant
-- invariant: I7
-- a row means: entries of this order are missing, or its row counts others than its journal has
select l.order_ledger_id, l.last_seq, count(j.seq) as entries, min(j.seq) as first_seq, max(j.seq) as greatest_seq
from order_ledger l left join ledger_journal j using (order_ledger_id)
group by l.order_ledger_id
having count(j.seq) <> l.last_seq or coalesce(max(j.seq), 0) <> l.last_seq or coalesce(min(j.seq), 1) <> 1;
