-- title: Stock adds up
-- database: inventory
-- kind: invariant
-- invariant: I1
-- a row means: this product's stock is not the sum of its movements, or what is reserved of it not the sum of what is held
select s.sku, s.on_hand, coalesce(m.moved, 0) as moved, s.reserved, coalesce(h.held, 0) as held
from stock s
    left join (select sku, sum(quantity) as moved from stock_movement group by sku) m using (sku)
    left join (select l.sku, sum(l.quantity) as held
               from reservation_line l join reservation r using (order_id) where r.status in ('tried', 'held') group by l.sku) h using (sku)
where s.on_hand <> coalesce(m.moved, 0) or s.reserved <> coalesce(h.held, 0) or s.reserved > s.on_hand;
