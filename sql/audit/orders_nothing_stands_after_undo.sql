-- title: No order stands that was cancelled
-- database: orders
-- kind: invariant
-- invariant: I17
-- a row means: the shop's record of this order stands though it was cancelled, or was to be cancelled before it was made
select o.order_ledger_id, o.status, f.subject, f.operation, f.reason, f.idempotency_key
from shop_order o
    join fence f on (f.operation = 'compensation' or f.reason = 'undone')
        and f.subject in ('order/' || o.order_ledger_id, 'confirmation/' || o.order_ledger_id)
where o.status <> 'cancelled';
