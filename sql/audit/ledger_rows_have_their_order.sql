-- title: No journal entry and no event without its order
-- database: ledger
-- kind: invariant
-- a row means: this order is not in the ledger, though so many of its rows are: written without it, or left behind.
--     For orders of a range of ids alone: PGOPTIONS="-c audit.after=UUID -c audit.upto=UUID"
with span as (
    select coalesce(nullif(current_setting('audit.after', true), '')::uuid, '00000000-0000-0000-0000-000000000000') as after,
        coalesce(nullif(current_setting('audit.upto', true), '')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as upto
)
select r.order_ledger_id, r.stands_in, count(*) as rows
from (select order_ledger_id, 'ledger_journal' as stands_in from ledger_journal
      union all select aggregateid, 'outbox' from outbox) r
where r.order_ledger_id > (select after from span) and r.order_ledger_id <= (select upto from span)
    and not exists (select from order_ledger l where l.order_ledger_id = r.order_ledger_id)
group by r.order_ledger_id, r.stands_in;
