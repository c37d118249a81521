-- What every participant asks of its database, beside its own tables: the limits of a session, and whether the schema fits.

-- name: limit_session
-- Sets the limits of a session: nothing waits for ever, and an abandoned transaction does not hold locks. One that may takes
-- the role of its participant, which can do less than the user who logged in.
select set_config('statement_timeout', '5s', false),
       set_config('lock_timeout', '4s', false),
       set_config('idle_in_transaction_session_timeout', '5s', false),
       case when has_table_privilege(to_regrole(%(role)s), to_regclass('_yoyo_migration'), 'select')
                and pg_has_role(to_regrole(%(role)s), case when current_setting('server_version_num')::integer < 160000
                                                           then 'member' else 'set' end)
            then set_config('role', %(role)s, false) end;

-- name: list_applied_migrations
-- Reads which migrations this database has had.
select migration_id from _yoyo_migration;

-- name: check_database
-- Answers when the database does.
select true;
