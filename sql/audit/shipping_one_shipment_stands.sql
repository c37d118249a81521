-- title: At most one shipment of an order stands
-- database: shipping
-- kind: invariant
-- a row means: of this order so many shipments stand, where one is the most
select order_id, count(*) as standing, array_agg(shipment_id order by shipment_id) as shipments
from shipment
where status <> 'cancelled'
group by order_id
having count(*) > 1;
