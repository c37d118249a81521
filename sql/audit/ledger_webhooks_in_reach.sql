-- title: No webhook stands at a transaction that this server has not come to
-- database: ledger
-- kind: invariant
-- a row means: this webhook's position came with a dump from another server, and it gets no new event; call restart_feed()
select name, transaction_id::text as transaction_id, ordinal
from event_subscription
where transaction_id > pg_snapshot_xmax(pg_current_snapshot());
