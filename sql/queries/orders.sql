-- Customers, and the shop's own record of an order.

-- name: put_customer
-- Adds a customer, or replaces what is known of one.
insert into customer (customer_id, name, active)
values (%(customer_id)s, %(name)s, %(active)s)
on conflict (customer_id) do update
    set name = excluded.name, active = excluded.active, updated_at = clock_timestamp()
returning customer_id, name, active;

-- name: get_customer
-- Reads one customer.
select customer_id, name, active from customer where customer_id = %(customer_id)s;

-- name: create_order
-- Records an order with its lines, in the order in which they were given.
with created as (
    insert into shop_order (order_ledger_id, customer_id, currency, total_minor)
    values (%(order_ledger_id)s, %(customer_id)s, %(currency)s, %(total_minor)s)
    returning order_ledger_id
)
insert into shop_order_line (order_ledger_id, line, sku, quantity, unit_price_minor)
select created.order_ledger_id, given.line, given.sku, given.quantity, given.unit_price_minor
from created,
     unnest(%(skus)s::text[], %(quantities)s::bigint[], %(unit_prices_minor)s::bigint[])
         with ordinality as given (sku, quantity, unit_price_minor, line);

-- name: get_order
-- Reads an order.
select order_ledger_id, customer_id, currency, total_minor, status
from shop_order
where order_ledger_id = %(order_ledger_id)s;

-- name: list_order_lines
-- Reads the lines of an order.
select sku, quantity, unit_price_minor
from shop_order_line
where order_ledger_id = %(order_ledger_id)s
order by line;

-- name: lock_order
-- Reads where an order stands and keeps it there until the transaction ends.
select status from shop_order where order_ledger_id = %(order_ledger_id)s for update;

-- name: confirm_order
-- Moves a created order to confirmed.
update shop_order set status = 'confirmed', confirmed_at = clock_timestamp()
where order_ledger_id = %(order_ledger_id)s and status = 'created';

-- name: cancel_order
-- Moves an order, confirmed or not, to cancelled.
update shop_order set status = 'cancelled', cancelled_at = clock_timestamp()
where order_ledger_id = %(order_ledger_id)s and status <> 'cancelled';

-- name: note_change
-- Notes which customer an operation's stored answer tells of.
insert into customer_change (idempotency_key, customer_id) values (%(key)s, %(customer_id)s) on conflict do nothing;

-- name: erase_personal
-- Erases what is known of a customer, in the stored answers to adding and changing one too; how many of those told something.
with told as (
    update fence f set request_hash = null, body = jsonb_set(f.body::jsonb, '{name}', 'null')::text
    from customer_change c
    where c.customer_id = %(customer_id)s and f.subject = 'change/' || c.idempotency_key and f.operation = 'action'
        and f.request_hash is not null
    returning f.subject
), forgotten as (
    update customer set name = null, updated_at = clock_timestamp()
    where customer_id = %(customer_id)s and name is not null
    returning customer_id
)
select greatest((select count(*) from told), (select count(*) from forgotten));
