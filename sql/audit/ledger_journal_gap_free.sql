-- title: The journal has no gaps
-- database: ledger
-- kind: invariant
-- invariant: I7
-- a row means: entries of this order are missing, or its row counts others than its journal has. For orders of a range of ids
--     alone: PGOPTIONS="-c audit.after=UUID -c audit.upto=UUID"
with span as (
    select coalesce(nullif(current_setting('audit.after', true), '')::uuid, '00000000-0000-0000-0000-000000000000') as after,
        coalesce(nullif(current_setting('audit.upto', true), '')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as upto
)
select l.order_ledger_id, l.last_seq, count(j.seq) as entries, min(j.seq) as first_seq, max(j.seq) as greatest_seq
from order_ledger l left join ledger_journal j using (order_ledger_id)
where l.order_ledger_id > (select after from span) and l.order_ledger_id <= (select upto from span)
group by l.order_ledger_id
having count(j.seq) <> l.last_seq or coalesce(max(j.seq), 0) <> l.last_seq or coalesce(min(j.seq), 1) <> 1;
