-- What a session is told and asked before anything else is done with it.

-- name: prepare_session
-- Applies the settings that the code relies on, and tells how the session stands then. Behind a pooler (the server's
-- process is not the one that greeted the client) nothing is set, because the next statement may run in another session.
-- A primary's timeline grows with each promotion; a standby has none to speak of.
with wanted (name, value) as (values
    ('default_transaction_isolation', 'read committed'), -- whatever the database's own default is
    ('synchronous_commit', 'on'),
    ('statement_timeout', '5s'),
    ('lock_timeout', '2s'),
    ('idle_in_transaction_session_timeout', '5s'),
    ('timezone', 'UTC'),
    ('jit', 'off')                                       -- planning costs more than these short statements take
), applied as materialized (
    select name, case when pg_backend_pid() = %(backend_pid)s then set_config(name, value, false)
                      else current_setting(name) end as value
    from wanted
)
select pg_backend_pid() = %(backend_pid)s as direct,
    (select jsonb_object_agg(name, value) from applied) as settings,
    current_setting('server_encoding') as encoding,
    current_setting('transaction_read_only')::boolean as read_only,
    (select system_identifier from pg_control_system()) as cluster,
    case when not pg_is_in_recovery()
         then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint end as timeline;
