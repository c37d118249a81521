-- title: Payments are what the log of effects says
-- database: payments
-- kind: invariant
-- invariant: I2
-- a row means: for this order other money is set aside or taken than the log of effects adds up to
with stands as (
    select order_id, sum(amount_minor) filter (where status = 'authorized') as authorized,
        sum(amount_minor) filter (where status = 'captured') as captured
    from payment
    group by order_id
), logged as (
    select order_id, sum((amounts ->> 'authorized')::bigint) as authorized, sum((amounts ->> 'captured')::bigint) as captured
    from effect
    group by order_id
)
select order_id, coalesce(s.authorized, 0) as authorized, coalesce(l.authorized, 0) as authorized_in_log,
    coalesce(s.captured, 0) as captured, coalesce(l.captured, 0) as captured_in_log
from stands s full join logged l using (order_id)
where coalesce(s.authorized, 0) <> coalesce(l.authorized, 0) or coalesce(s.captured, 0) <> coalesce(l.captured, 0);
