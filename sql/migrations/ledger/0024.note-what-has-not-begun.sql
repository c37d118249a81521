-- While nothing new may begin (SAGA_ENABLED), replicas look for what has begun: by an index, which the next migration adds.
-- depends: 0019.let-orders-be-paused

-- The status can't be asked in an index: a step that changed it would touch every index of the row. So who gives an order back,
-- or places it, with nothing of it begun writes beside it at which epoch that was so. A claim ends it by raising the epoch.
-- Where it is null nobody knows, and the row is looked into.
alter table order_ledger add column unbegun_epoch bigint;
comment on column order_ledger.unbegun_epoch is
    'while this is the lease epoch, nothing of the order has begun and nobody has it in hand';
grant update (unbegun_epoch) on order_ledger to sagaledger_edge, sagaledger_orchestrator;
