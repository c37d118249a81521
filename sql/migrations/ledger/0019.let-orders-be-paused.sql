-- Operators put orders on hold: whoever writes an order's state writes since when. The column stood ready for it.
-- depends: 0018.seal-writes

grant update (paused_at) on order_ledger to sagaledger_edge, sagaledger_orchestrator;
