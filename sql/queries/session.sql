-- What a session is told and asked before anything else is done with it.

-- name: prepare_session
-- Applies the settings that the code relies on, and tells how the session stands then. Behind a pooler (the server's
-- process is not the one that greeted the client) nothing is set, because the next statement may run in another session.
-- A primary's timeline grows with each promotion; a standby has none to speak of.
-- A session that may takes the role of its process, which can do less than the user who logged in; one that may not, or whose
-- database knows no such role, stays what it is. `walled`: other clients' rows are hidden from it unless it names the client.
with role (name) as materialized (
    select %(role)s::text
    where has_table_privilege(to_regrole(%(role)s), to_regclass('_yoyo_migration'), 'select')
        and pg_has_role(to_regrole(%(role)s), case when current_setting('server_version_num')::integer < 160000
                                                   then 'member' else 'set' end)
), wanted (name, value) as (values
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
    from (select * from wanted union all select 'role', name from role) every
)
select pg_backend_pid() = %(backend_pid)s as direct,
    (select jsonb_object_agg(name, value) from applied) as settings,
    current_setting('server_encoding') as encoding,
    current_setting('transaction_read_only')::boolean as read_only,
    case when to_regclass('order_ledger') is not null
         then row_security_active(to_regclass('order_ledger')::oid)
              or pg_backend_pid() = %(backend_pid)s and exists (select from role) else false end as walled,
    (select system_identifier from pg_control_system()) as cluster,
    case when not pg_is_in_recovery()
         then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint end as timeline;

-- name: act_for
-- For which client the transaction acts, whose rows alone are then seen by who is not trusted with all: `*` for all of them.
select set_config('saga.client_id', %(client_id)s, true);
