-- title: No more is captured than authorized, nor refunded than captured
-- database: payments
-- kind: invariant
-- invariant: I2
-- a row means: for this order more money went one way than had come the other
with money as (
    select order_id,
        coalesce(sum((amounts ->> 'authorized')::bigint) filter (where kind = 'authorized'), 0) as authorized,
        coalesce(sum(-(amounts ->> 'authorized')::bigint) filter (where kind in ('voided', 'expired')), 0) as let_go,
        coalesce(sum((amounts ->> 'captured')::bigint) filter (where kind = 'captured'), 0) as captured,
        coalesce(sum(-(amounts ->> 'captured')::bigint) filter (where kind = 'refunded'), 0) as refunded
    from effect
    group by order_id
)
select order_id, authorized, let_go, captured, refunded
from money
where captured + let_go > authorized or refunded > captured or least(authorized, let_go, captured, refunded) < 0;
