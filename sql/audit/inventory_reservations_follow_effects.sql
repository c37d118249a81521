-- title: Reservations are what the log of effects says
-- database: inventory
-- kind: invariant
-- invariant: I4
-- a row means: this order holds other stock, for a time or for good, than was tried, reserved and given back for it
with stands as (
    select r.order_id, sum(l.quantity) filter (where r.status = 'tried') as tried,
        sum(l.quantity) filter (where r.status = 'held') as held
    from reservation r join reservation_line l using (order_id)
    group by r.order_id
), logged as (
    select order_id, sum((amounts ->> 'tried')::bigint) as tried, sum((amounts ->> 'reserved')::bigint) as held
    from effect
    group by order_id
)
select order_id, coalesce(s.tried, 0) as tried, coalesce(l.tried, 0) as tried_in_log,
    coalesce(s.held, 0) as held, coalesce(l.held, 0) as held_in_log
from stands s full join logged l using (order_id)
where coalesce(s.tried, 0) <> coalesce(l.tried, 0) or coalesce(s.held, 0) <> coalesce(l.held, 0);
