-- title: Orders are what the log of effects says
-- database: orders
-- kind: invariant
-- invariant: I3
-- a row means: the shop's record of this order says another state than the log of effects adds up to
with stands as (
    select order_ledger_id as order_id, status, (status <> 'cancelled')::integer as created,
        (status = 'confirmed')::integer as confirmed
    from shop_order
), logged as (
    select order_id, coalesce(sum((amounts ->> 'created')::bigint), 0) as created,
        coalesce(sum((amounts ->> 'confirmed')::bigint), 0) as confirmed
    from effect
    group by order_id
)
select order_id, s.status, coalesce(l.created, 0) as created_in_log, coalesce(l.confirmed, 0) as confirmed_in_log
from stands s full join logged l using (order_id)
where coalesce(s.created, 0) <> coalesce(l.created, 0) or coalesce(s.confirmed, 0) <> coalesce(l.confirmed, 0);
