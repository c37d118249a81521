-- title: No shipment stands that was called off
-- database: shipping
-- kind: invariant
-- invariant: I17
-- a row means: this shipment stands though it was called off, or was to be called off before it was ordered
select s.shipment_id, s.order_id, s.status, f.operation, f.reason, f.idempotency_key
from shipment s
    join fence f on f.subject = 'shipment/' || s.shipment_id and (f.operation = 'compensation' or f.reason = 'undone')
where s.status <> 'cancelled';
