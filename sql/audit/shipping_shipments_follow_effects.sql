-- title: Shipments are what the log of effects says
-- database: shipping
-- kind: invariant
-- a row means: for this order other shipments stand than the log of effects adds up to
with stands as (
    select order_id, count(*) filter (where status <> 'cancelled') as shipments from shipment group by order_id
), logged as (
    select order_id, sum((amounts ->> 'shipments')::bigint) as shipments from effect group by order_id
)
select order_id, coalesce(s.shipments, 0) as shipments, coalesce(l.shipments, 0) as shipments_in_log
from stands s full join logged l using (order_id)
where coalesce(s.shipments, 0) <> coalesce(l.shipments, 0);
