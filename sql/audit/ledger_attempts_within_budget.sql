-- title: Attempts count up without holes and within the budget
-- database: ledger
-- kind: invariant
-- invariant: I14
-- a row means: attempts of this step are missing, out of order, or more than its definition allows; those that a lapsed
--     lease ended, or that only tried whether the participant is back, are not counted against it, and a step that is
--     probed may be asked once more; a wait begins once a round
with attempt as (
    select i.order_ledger_id, i.step, i.direction, i.round, i.attempt, i.seq, t.seq is not null as spared,
        row_number() over (partition by i.order_ledger_id, i.step, i.direction, i.round order by i.seq) as place
    from ledger_journal i
        left join ledger_journal t on (t.kind = 'takeover' or t.kind = 'outcome' and t.reason is not null)
            and t.order_ledger_id = i.order_ledger_id and t.step = i.step
            and t.direction = i.direction and t.round = i.round and t.attempt = i.attempt
    where i.kind = 'intent'
), counted as (
    select order_ledger_id, step, direction, round, count(*) as attempts, max(attempt) as greatest_attempt,
        count(*) filter (where not spared) as spent, bool_or(attempt <> place) as out_of_order
    from attempt
    group by order_ledger_id, step, direction, round
)
select c.*, b.calls_max
from counted c
    join order_ledger l using (order_ledger_id)
    join saga_definition d using (definition_id)
    left join lateral (
        select coalesce((s.body -> 'retry' ->> 'attempts_max')::integer, 1)
            + (c.direction = 'action' and coalesce((s.body ->> 'probed')::boolean, false))::integer as calls_max
        from jsonb_array_elements(d.body -> 'steps') as s (body)
        where s.body ->> 'name' = c.step
    ) b on true
where c.out_of_order or b.calls_max is null or c.spent > b.calls_max;
