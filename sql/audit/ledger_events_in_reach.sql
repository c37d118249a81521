-- title: No event waits for a transaction that this server has not come to
-- database: ledger
-- kind: invariant
-- a row means: this event came with a dump from another server, and no reader of the feed gets it; call restart_feed()
select aggregateid as order_ledger_id, id, type, transaction_id::text as transaction_id
from outbox
where transaction_id >= pg_snapshot_xmax(pg_current_snapshot());
