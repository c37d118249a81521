-- title: How do attempts end, by step?
-- database: ledger
-- kind: question
-- a row means: so many attempts of this step and direction ended that way ('taken over': the owner's lease ran out; 'open':
--     not ended yet), and how long they took
select l.saga, i.step, i.direction,
    case when e.kind = 'takeover' then 'taken over' else coalesce(e.outcome, 'open') end as outcome, count(*) as attempts,
    round((percentile_cont(0.5) within group (order by e.duration_ms))::numeric, 1) as p50_ms,
    round((percentile_cont(0.99) within group (order by e.duration_ms))::numeric, 1) as p99_ms
from ledger_journal i
    join order_ledger l using (order_ledger_id)
    left join ledger_journal e on e.kind in ('outcome', 'takeover') and e.order_ledger_id = i.order_ledger_id
        and e.step = i.step and e.direction = i.direction and e.round = i.round and e.attempt = i.attempt
where i.kind = 'intent'
group by 1, 2, 3, 4
order by 1, 2, 3, 4;
