-- title: A customer is told the same thing of an order once
-- database: notifications
-- kind: invariant
-- a row means: this message about this order went out so many times
select order_id, customer_id, template, reference, count(*) as times
from notification
group by order_id, customer_id, template, reference
having count(*) > 1;
