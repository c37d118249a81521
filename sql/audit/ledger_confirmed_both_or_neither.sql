-- title: What was tried is confirmed on every side, or on none
-- database: ledger
-- kind: invariant
-- a row means: the order has ended, and of what it tried some was or may have been confirmed and stands, and some does not
with confirm as (
    select l.order_ledger_id, l.saga, l.status, s.body ->> 'name' as step,
        exists (select from ledger_journal j
                where j.order_ledger_id = l.order_ledger_id and j.step = s.body ->> 'name' and j.direction = 'action'
                    and j.kind in ('outcome', 'takeover') and j.outcome in ('succeeded', 'unknown'))
        and not exists (select from ledger_journal u
                where u.order_ledger_id = l.order_ledger_id and u.step = s.body ->> 'undone_by'
                    and u.direction = 'compensation' and u.kind = 'outcome' and u.outcome = 'succeeded') as stands
    from order_ledger l
        join saga_definition d using (definition_id)
        cross join lateral jsonb_array_elements(d.body -> 'steps') as s (body)
    where l.finished_at is not null and s.body ->> 'group' = 'confirm'
        -- An operator may have left one out, or have said how the order ends.
        and not exists (select from ledger_journal o where o.order_ledger_id = l.order_ledger_id and o.kind = 'operator'
            and o.actor <> 'sagaledger' and o.outcome in ('skip', 'resolve-completed', 'resolve-failed'))
)
select order_ledger_id, saga, status, array_agg(step) filter (where stands) as confirmed,
    array_agg(step) filter (where not stands) as not_confirmed
from confirm
group by order_ledger_id, saga, status
having bool_or(stands) and not bool_and(stands);
