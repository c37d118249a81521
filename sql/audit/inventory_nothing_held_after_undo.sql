-- title: No stock is held for what was undone
-- database: inventory
-- kind: invariant
-- invariant: I17
-- a row means: this reservation stands though it was released, or was to be released before it was made
select r.order_id, r.status, f.operation, f.reason, f.idempotency_key, f.created_at
from reservation r
    join fence f on f.subject = 'reservation/' || r.order_id and (f.operation = 'compensation' or f.reason = 'undone')
where r.status in ('tried', 'held');
