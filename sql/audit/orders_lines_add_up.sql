-- title: Lines add up to the total
-- database: orders
-- kind: invariant
-- a row means: the lines of the shop's record of this order do not sum to its total
select o.order_ledger_id, o.total_minor, coalesce(sum(l.quantity * l.unit_price_minor), 0) as lines_minor
from shop_order o left join shop_order_line l using (order_ledger_id)
group by o.order_ledger_id
having coalesce(sum(l.quantity * l.unit_price_minor), 0) <> o.total_minor;
