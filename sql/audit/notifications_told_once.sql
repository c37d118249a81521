-- title: A customer is told once that an order is on its way
-- database: notifications
-- kind: invariant
-- a row means: the customer was told so many times that the goods of this order are sent for
select order_id, customer_id, count(*) as times, array_agg(reference order by sent_at) as shipments
from notification
where template = 'shipment_scheduled'
group by order_id, customer_id
having count(*) > 1;
