-- What every participant asks of its database, beside its own tables: the limits of a session, and whether the schema fits.

-- name: limit_session
-- Sets the limits of a session: nothing waits for ever, and an abandoned transaction does not hold locks.
select set_config('statement_timeout', '5s', false),
       set_config('lock_timeout', '4s', false),
       set_config('idle_in_transaction_session_timeout', '5s', false);

-- name: list_applied_migrations
-- Reads which migrations this database has had.
select migration_id from _yoyo_migration;

-- name: check_database
-- Answers when the database does.
select true;
