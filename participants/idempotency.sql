-- The fence and the log of effects, for `idempotency.py`: the two tables that a participant of your own adds to its database.

-- One row per thing (subject) and direction. It is written in the transaction of the effect, so there is no effect
-- without a row and no row without an effect; its primary key is what orders an action and its compensation.
create table fence (
    subject         text not null,                              -- for example reservation/ORDER_ID
    operation       text not null check (operation in ('action', 'compensation')),
    reason          text not null check (reason in ('done', 'undone')),
    idempotency_key text not null check (char_length(idempotency_key) between 1 and 255),
    request_hash    bytea check (octet_length(request_hash) = 32),
    status          smallint check (status between 200 and 299),
    body            text,                                       -- the stored answer, repeated byte for byte
    created_at      timestamptz not null default clock_timestamp(),
    primary key (subject, operation),
    -- A tombstone stands where an action would have stood: it has no request and no answer.
    constraint tombstone_is_empty check (reason = 'done' or (operation = 'action' and status is null and body is null))
) with (fillfactor = 70);                                       -- room to store the answer beside the row

-- A key names one action for ever; a compensation is known by what it undoes.
create unique index fence_action_key on fence (idempotency_key) where operation = 'action' and reason = 'done';
-- An operation is asked for by its key: compensations, and the tombstones that a compensation left.
create index fence_undo_key on fence (idempotency_key) where operation = 'compensation' or reason = 'undone';

-- What was really done, as postings to accounts: repeats, refusals and undoing nothing leave no row here.
create table effect (
    seq           bigint generated always as identity primary key,
    operation_key text not null,
    order_id      text not null,
    kind          text not null,
    amounts       jsonb not null check (jsonb_typeof(amounts) = 'object' and amounts <> '{}'),
    at            timestamptz not null default clock_timestamp()
);

create index effect_order on effect (order_id, seq);

-- History is only added to, by whoever is connected.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'table % is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger effect_append_only before update or delete or truncate on effect
    for each statement execute function refuse_change();

-- Rows of the fence outlive everything: without its tombstone an action that comes late would be done after its undo.
create function refuse_removal() returns trigger language plpgsql as $$
begin
    raise exception 'rows of table % are never removed', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger fence_is_kept before delete or truncate on fence for each statement execute function refuse_removal();
