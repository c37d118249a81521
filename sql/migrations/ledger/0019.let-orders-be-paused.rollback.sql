revoke update (paused_at) on order_ledger from sagaledger_edge, sagaledger_orchestrator;
