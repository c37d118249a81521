-- title: The money for an order is taken once
-- database: payments
-- kind: invariant
-- invariant: I2
-- a row means: for this order money was taken so many times and stands, where once is the most
select order_id, count(*) as captures, sum(amount_minor) as amount_minor,
    array_agg(authorization_id order by authorization_id) as authorizations
from payment
where status = 'captured'
group by order_id
having count(*) > 1;
