-- Stock that is held for a time, unless it is confirmed.

-- name: try_stock
-- Holds stock whose rows are locked until the database's clock says otherwise.
with made as (
    insert into reservation (order_id, status, expires_at)
    values (%(order_id)s, 'tried', clock_timestamp() + make_interval(secs => %(lifetime_s)s))
    returning order_id, expires_at
), lines as (
    insert into reservation_line (order_id, sku, quantity)
    select made.order_id, wanted.sku, wanted.quantity
    from made, unnest(%(skus)s::text[], %(quantities)s::bigint[]) as wanted (sku, quantity)
    returning sku, quantity
), held as (
    update stock set reserved = reserved + lines.quantity
    from lines
    where stock.sku = lines.sku
)
select expires_at from made;

-- name: get_held_lines
-- Reads what a plain reservation holds, and keeps it held until the transaction ends.
with held as (
    select order_id from reservation where order_id = %(held_for)s and status = 'held' for share
)
select sku, quantity from held join reservation_line using (order_id);

-- name: try_held_stock
-- Notes a try of goods that another order's reservation holds.
insert into reservation (order_id, status, expires_at, held_for)
values (%(order_id)s, 'tried', clock_timestamp() + make_interval(secs => %(lifetime_s)s), %(held_for)s)
returning expires_at;

-- name: confirm_stock
-- Makes a try stand. No row back: there is none, or its time is over, or it was given back, or what held its goods was.
update reservation set status = 'held', confirmed_at = clock_timestamp()
where order_id = %(order_id)s and status = 'tried' and expires_at > clock_timestamp()
  and (held_for is null or exists (
      select from reservation plain where plain.order_id = reservation.held_for and plain.status = 'held'))
returning (select coalesce(sum(quantity), 0) from reservation_line where order_id = %(order_id)s)::bigint;

-- name: get_standing
-- Reads why a reservation could not be confirmed.
select status, expires_at > clock_timestamp() as has_time from reservation where order_id = %(order_id)s;

-- name: lock_due_tries
-- Takes tries whose time is over; what another process gives back, or somebody confirms at this moment, is passed by.
select order_id
from reservation
where status = 'tried' and expires_at <= clock_timestamp()
order by expires_at
limit %(limit)s
for update skip locked;

-- name: lock_tried_stock
-- Locks the rows of the products that these orders hold, in the order of their codes.
select sku
from stock
where sku in (select sku from reservation_line where order_id = any(%(order_ids)s))
order by sku
for update;

-- name: expire_stock
-- Gives back what these tries hold, whose rows and stock are locked, and logs it. There is no key that asked for it.
with expired as (
    update reservation set status = 'expired', released_at = clock_timestamp()
    where order_id = any(%(order_ids)s) and status = 'tried'
    returning order_id
), lines as (
    select order_id, sku, quantity from expired join reservation_line using (order_id)
), given as (
    update stock set reserved = reserved - back.quantity
    from (select sku, sum(quantity) as quantity from lines group by sku) as back
    where stock.sku = back.sku
)
insert into effect (operation_key, order_id, kind, amounts)
select 'expiry:' || order_id, order_id, 'stock_expired', jsonb_build_object('tried', -sum(quantity))
from lines
group by order_id;
