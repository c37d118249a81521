-- title: What has passed its pivot is never undone
-- database: ledger
-- kind: invariant
-- a row means: the order ended undone, yet this step of it can't be undone, and was or may have been done
select l.order_ledger_id, l.status, s.body ->> 'name' as step, array_agg(j.outcome order by j.seq) as outcomes
from order_ledger l
    join saga_definition d using (definition_id)
    cross join lateral jsonb_array_elements(d.body -> 'steps') as s (body)
    join ledger_journal j on j.order_ledger_id = l.order_ledger_id and j.step = s.body ->> 'name' and j.direction = 'action'
        and j.kind in ('outcome', 'takeover') and j.outcome in ('succeeded', 'unknown')
where l.status in ('FAILED', 'CANCELLED', 'DECLINED') and s.body ->> 'kind' = 'pivot' and s.body ->> 'undone_by' is null
    -- What was taken back once it had completed was not undone by itself: see ledger_cancelled_whole.
    and (l.status <> 'CANCELLED' or l.direction = 'compensation')
    -- Unless an operator said that it has failed, whatever stands of it.
    and not exists (select from ledger_journal r
        where r.order_ledger_id = l.order_ledger_id and r.kind = 'operator' and r.outcome = 'resolve-failed')
group by l.order_ledger_id, l.status, s.body ->> 'name';
