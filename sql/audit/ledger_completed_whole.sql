-- title: What completed was done whole
-- database: ledger
-- kind: invariant
-- a row means: the order is COMPLETED, yet this step did not succeed or was begun to be undone
select l.order_ledger_id, s.body ->> 'name' as step, coalesce(j.done, false) as done, coalesce(j.undone, false) as undone
from order_ledger l
    join saga_definition d using (definition_id)
    cross join lateral jsonb_array_elements(d.body -> 'steps') as s (body)
    left join lateral (select bool_or(outcome = 'succeeded' and direction = 'action') as done,
            bool_or(direction = 'compensation') as undone
        from ledger_journal where order_ledger_id = l.order_ledger_id and step = s.body ->> 'name') j on true
where l.status = 'COMPLETED'
    and (coalesce(j.undone, false) or not coalesce(j.done, false)
        and l.progress #>> array['steps', s.body ->> 'name', 'state'] is distinct from 'skipped')
    -- Unless an operator said that it is completed, whatever was not done or was undone.
    and not exists (select from ledger_journal r
        where r.order_ledger_id = l.order_ledger_id and r.kind = 'operator' and r.outcome = 'resolve-completed');
