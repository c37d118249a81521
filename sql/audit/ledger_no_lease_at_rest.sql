-- title: Nobody holds an order at rest
-- database: ledger
-- kind: invariant
-- invariant: I15
-- a row means: this order is finished or STUCK, and yet a replica holds it
select order_ledger_id, status, lease_owner, lease_epoch, lease_expires_at
from order_ledger
where status in ('COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED', 'STUCK')
    and (lease_owner is not null or lease_expires_at is not null);
