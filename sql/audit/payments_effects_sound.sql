-- title: The log of effects is sound
-- database: payments
-- kind: invariant
-- a row means: an effect was logged twice, without the fence that admits it, or undone before it was done
with judged as (
    select e.seq, e.order_id, e.operation_key, e.kind,
        count(*) over (partition by e.operation_key, e.kind) > 1 as twice,
        -- An expiry has no caller and no fence: the state of what expires lets it happen once.
        e.kind not in ('expired', 'stock_expired') and not exists (select from fence f where f.idempotency_key = e.operation_key
            and f.reason = 'done' and f.status is not null) as unfenced
    from effect e
), balance as (
    select e.seq, sum(a.value::bigint) over (partition by e.order_id, a.key order by e.seq) as balance
    from effect e cross join lateral jsonb_each_text(e.amounts) a
)
select j.seq, j.order_id, j.operation_key, j.kind, problem
from judged j left join (select seq, min(balance) as lowest from balance group by seq) b using (seq)
    cross join lateral (values
        (j.twice, 'logged more than once under one key'),
        (j.unfenced, 'no fence under this key'),
        (b.lowest < 0, 'an account of the order falls below zero')
    ) as checked (violated, problem)
where violated;
