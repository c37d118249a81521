-- What every participant does alike: the fence, the log of effects, the limits of a session.

-- name: take_action_fence
-- Claims an action. Waits for an action or a compensation of the same subject that is in flight, and for one with the
-- same key; no row back means that one of them was there first.
insert into fence (subject, operation, reason, idempotency_key, request_hash)
values (%(subject)s, 'action', 'done', %(key)s, %(request_hash)s)
on conflict do nothing
returning true;

-- name: place_tombstones
-- Takes the place of actions that have not come yet, and waits for those in flight. Where an action was done, nothing
-- changes.
insert into fence (subject, operation, reason, idempotency_key)
select subject, 'action', 'undone', %(key)s
from unnest(%(subjects)s::text[]) with ordinality as named (subject, place)
order by place
on conflict do nothing;

-- name: take_compensation_fence
-- Claims a compensation, after the tombstones. No row back: it was done before.
insert into fence (subject, operation, reason, idempotency_key, request_hash)
values (%(subject)s, 'compensation', 'done', %(key)s, %(request_hash)s)
on conflict do nothing
returning true;

-- name: read_fence
-- Reads what stands in the way, with the stored answer.
select reason, idempotency_key, request_hash, status, body
from fence
where subject = %(subject)s and operation = %(operation)s;

-- name: find_operation
-- Reads what is known of an operation by its key alone: the fences that it was done under, and tombstones that stand in
-- its place.
select reason, body from fence
where idempotency_key = %(key)s and operation = 'action' and reason = 'done'
union all
select reason, body from fence
where idempotency_key = %(key)s and operation = 'compensation'
union all
select reason, body from fence
where idempotency_key = %(undo_key)s and reason = 'undone';

-- name: store_answer
-- Keeps the answer beside its fence and writes the effect, if there was one, in the same statement.
with answered as (
    update fence set status = %(status)s, body = %(body)s
    where subject = %(subject)s and operation = %(operation)s
)
insert into effect (operation_key, order_id, kind, amounts)
select %(key)s, %(order_id)s::text, %(kind)s::text, %(amounts)s::jsonb
where %(kind)s::text is not null;

-- name: read_last_position
-- Reads the last position given out in the log of effects, whether its transaction has ended or not.
select case when is_called then last_value else 0 end from effect_seq_seq;

-- name: list_effect_writers
-- Lists the transactions that write to the log at this moment. A transaction holds this lock before it is given a
-- position, and gives it back after its rows can be seen.
select virtualtransaction
from pg_locks
where locktype = 'relation'
  and database = (select oid from pg_database where datname = current_database())
  and relation = 'effect'::regclass
  and mode = 'RowExclusiveLock'
  and granted;

-- name: page_effects
-- Reads the log in order, up to a position below which nothing can appear any more.
select seq, operation_key, order_id, kind, amounts, at
from effect
where seq > %(after)s
  and seq <= %(last)s
  and (%(order_id)s::text is null or order_id = %(order_id)s)
order by seq
limit %(limit)s;

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
