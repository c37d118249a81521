-- Stock, and what is held of it for an order. Quantities only ever change by adding and subtracting in the database.

-- name: add_product
-- Adds a product with its first stock. No row back: the product exists.
with added as (
    insert into stock (sku, name, on_hand) values (%(sku)s, %(name)s, %(initial_stock)s)
    on conflict (sku) do nothing
    returning sku, on_hand, reserved, on_hand - reserved as available
), moved as (
    insert into stock_movement (sku, kind, quantity, operation_key)
    select sku, 'initial', on_hand, %(key)s from added
)
select sku, on_hand, reserved, available from added;

-- name: get_first_stock
-- Reads how a product was added, to compare with a request that adds it again.
select stock.name, stock_movement.quantity
from stock join stock_movement using (sku)
where sku = %(sku)s and kind = 'initial';

-- name: receive_stock
-- Adds units to a product and logs where they came from. No row back: no such product.
with received as (
    update stock set on_hand = on_hand + %(quantity)s
    where sku = %(sku)s
    returning sku, on_hand, reserved, on_hand - reserved as available
), moved as (
    insert into stock_movement (sku, kind, quantity, operation_key)
    select sku, 'receipt', %(quantity)s, %(key)s from received
)
select sku, on_hand, reserved, available from received;

-- name: get_availability
-- Reads how much of a product there is.
select sku, on_hand, reserved, on_hand - reserved as available from stock where sku = %(sku)s;

-- name: lock_stock
-- Locks the rows of products in the order of their codes, so that two reservations never wait for each other in a circle.
select sku, on_hand - reserved as available
from stock
where sku = any(%(skus)s)
order by sku
for update;

-- name: hold_stock
-- Holds stock whose rows are locked: the reservation, its lines, the counters.
with made as (
    insert into reservation (order_id) values (%(order_id)s) returning order_id
), lines as (
    insert into reservation_line (order_id, sku, quantity)
    select made.order_id, wanted.sku, wanted.quantity
    from made, unnest(%(skus)s::text[], %(quantities)s::bigint[]) as wanted (sku, quantity)
    returning sku, quantity
)
update stock set reserved = reserved + lines.quantity
from lines
where stock.sku = lines.sku;

-- name: lock_reservation
-- Reads what became of an order's reservation and keeps it so until the transaction ends. Reservations are locked before
-- stock, everywhere.
select status from reservation where order_id = %(order_id)s for update;

-- name: lock_held_stock
-- Locks the rows of the products that an order may hold, in the order of their codes.
select stock.sku, reservation_line.quantity
from reservation_line
join stock using (sku)
where reservation_line.order_id = %(order_id)s
order by stock.sku
for update of stock;

-- name: release_stock
-- Gives back what an order holds. No row back: it holds nothing.
with released as (
    update reservation set status = 'released', released_at = clock_timestamp()
    where order_id = %(order_id)s and status in ('tried', 'held')
    returning order_id
), lines as (
    select sku, quantity from released join reservation_line using (order_id)
)
update stock set reserved = reserved - lines.quantity
from lines
where stock.sku = lines.sku
returning lines.quantity;
