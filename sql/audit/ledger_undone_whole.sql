-- title: What did not complete was undone whole
-- database: ledger
-- kind: invariant
-- invariant: I12
-- a row means: the order ended undone, yet this step was or may have been done and has not been undone
with step as (
    -- A step without a compensation may be undone by another step's.
    select l.order_ledger_id, l.status, s.body ->> 'name' as step,
        case when (s.body ->> 'compensated')::boolean then s.body ->> 'name' else s.body ->> 'undone_by' end as undone_by
    from order_ledger l
        join saga_definition d using (definition_id)
        cross join lateral jsonb_array_elements(d.body -> 'steps') as s (body)
    where l.status in ('FAILED', 'CANCELLED', 'DECLINED')
        -- What was taken back once it had completed was undone by another saga: see ledger_cancelled_whole.
        and (l.status <> 'CANCELLED' or l.direction = 'compensation')
)
select s.order_ledger_id, s.status, s.step, s.undone_by, array_agg(j.outcome order by j.seq) as outcomes
from step s
    join ledger_journal j on j.order_ledger_id = s.order_ledger_id and j.step = s.step and j.direction = 'action'
        and j.kind in ('outcome', 'takeover') and j.outcome in ('succeeded', 'unknown')
where s.undone_by is not null and not exists (
    select from ledger_journal u
    where u.order_ledger_id = s.order_ledger_id and u.step = s.undone_by and u.direction = 'compensation'
        -- Or an operator left its undoing out.
        and (u.kind = 'outcome' and u.outcome = 'succeeded' or u.kind = 'operator' and u.outcome = 'skip'))
    -- Unless an operator said that it has failed, whatever stands of it.
    and not exists (select from ledger_journal r
        where r.order_ledger_id = s.order_ledger_id and r.kind = 'operator' and r.outcome = 'resolve-failed')
group by s.order_ledger_id, s.status, s.step, s.undone_by;
