-- title: Reservations are what the log of effects says
-- database: inventory
-- kind: invariant
-- invariant: I4
-- a row means: this order holds other stock than was reserved less released for it
with held as (
    select r.order_id, sum(l.quantity) as held
    from reservation r join reservation_line l using (order_id)
    where r.status = 'held'
    group by r.order_id
), logged as (
    select order_id, sum((amounts ->> 'reserved')::bigint) as logged from effect where amounts ? 'reserved' group by order_id
)
select order_id, coalesce(held, 0) as held, coalesce(logged, 0) as logged
from held full join logged using (order_id)
where coalesce(held, 0) <> coalesce(logged, 0);
