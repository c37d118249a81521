-- Shipments.

-- name: schedule_shipment
-- Orders the carriage of goods.
insert into shipment (shipment_id, order_id, address, tracking)
values (%(shipment_id)s, %(order_id)s, %(address)s, %(tracking)s);

-- name: get_shipment
-- Reads a shipment, without its address.
select shipment_id, order_id, status, tracking from shipment where shipment_id = %(shipment_id)s;

-- name: lock_shipment
-- Reads where a shipment stands and keeps it there until the transaction ends.
select shipment_id, order_id, status, tracking from shipment where shipment_id = %(shipment_id)s for update;

-- name: cancel_shipment
-- Calls a shipment off that has not left.
update shipment set status = 'cancelled', cancelled_at = clock_timestamp()
where shipment_id = %(shipment_id)s and status = 'scheduled';

-- name: ship
-- Hands the goods to the carrier.
update shipment set status = 'shipped' where shipment_id = %(shipment_id)s and status = 'scheduled';

-- name: erase_personal
-- Erases where the goods of orders went, and what tells it of the requests; of how many shipments.
with forgotten as (
    update shipment set address = null
    where order_id = any (%(order_ids)s::text[]) and address is not null
    returning shipment_id
), told as (
    update fence f set request_hash = null
    from shipment s
    where s.order_id = any (%(order_ids)s::text[]) and f.subject = 'shipment/' || s.shipment_id and f.operation = 'action'
        and f.request_hash is not null
)
select count(*) from forgotten;
