-- What an operator's graphs show of the server, as far as any user of the ledger may see it.

-- name: measure_database
-- This database as of one moment: what counts since the server's statistics were last reset, and what is now.
select (select count(*) from pg_stat_activity where datname = current_database())::integer as connections,
    current_setting('max_connections')::integer as connections_max,
    pg_database_size(d.datname)::float8 as size_bytes,
    d.xact_commit::float8 as committed, d.xact_rollback::float8 as rolled_back,
    d.blks_hit::float8 as from_cache, d.blks_read::float8 as from_disk, d.deadlocks::float8 as deadlocks,
    (select age(p.datfrozenxid) from pg_database p where p.datname = d.datname)::float8 as transaction_age
from pg_stat_database d where d.datname = current_database();

-- name: list_table_sizes
-- Estimates of the live and dead rows of the tables that grow or are updated with every order.
select relname as "table", n_live_tup::float8 as live, n_dead_tup::float8 as dead
from pg_stat_user_tables
where schemaname = current_schema()
    and relname in ('order_ledger', 'order_ledger_items', 'order_personal', 'ledger_journal', 'outbox', 'event_delivery',
                    'purged_order')
order by relname;
