-- The order ledger: one row an order, which is record, queue and idempotency key in one; beside it the journal of
-- everything that was intended, answered or decided, and the outbox of events for others.
-- depends:

-- What a saga runs on: a snapshot of its definition and settings, deduplicated by its hash. A replica claims only rows
-- whose fingerprint (of the definition's code) it has itself.
create table saga_definition (
    definition_id uuid primary key,
    saga text not null,
    version integer not null check (version >= 1),
    hash bytea not null unique,
    fingerprint text not null,
    body jsonb not null,
    created_at timestamptz not null default clock_timestamp()
);

create table order_ledger (
    order_ledger_id uuid primary key,          -- UUIDv8 over client and client's key: the idempotency check itself
    client_id text not null,
    client_request_id text not null check (client_request_id <> ''),
    request_hash bytea not null,
    response_status smallint,                  -- the answer that every repeat of the request gets; null until frozen
    response_body text,
    saga text not null,
    saga_version integer not null,
    definition_id uuid not null references saga_definition,
    status text not null check (status in
        ('RECEIVED', 'PENDING', 'RUNNING', 'COMPENSATING', 'STUCK', 'COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED')),
    step text,                                 -- the step that is on its way or was last tried
    retry_count integer not null default 0 check (retry_count >= 0),
    next_retry_at timestamptz,
    last_error text,
    customer_id text,
    currency text,
    total_minor bigint check (total_minor >= 0),
    input jsonb not null,                      -- immutable, without personal data
    results jsonb not null default '{}',       -- answers of succeeded steps, by step
    progress jsonb not null,                   -- the state machine's state; status, step, direction are read off it
    metadata jsonb not null default '{}',
    correlation_id text not null,
    traceparent text,
    direction text not null default 'action' check (direction in ('action', 'compensation')),
    parent_id uuid,
    paused_at timestamptz,
    last_seq integer not null default 0,       -- of the journal; the row's own counter, so the journal has no gaps
    chain_head bytea,                          -- hash of the journal's last entry
    lease_owner text,
    lease_epoch bigint not null default 0,     -- grows with every claim, stands in the condition of every write
    lease_expires_at timestamptz,
    lapses integer not null default 0,         -- claims in a row that ran out without one write
    replays integer not null default 0,        -- repeats of the request that were answered from this row
    deadline_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    -- When an orchestrator may take the row: once nobody's lease holds and no retry is waited for; null for never.
    due_at timestamptz generated always as (
        case when finished_at is null and paused_at is null and status <> 'STUCK'
             then greatest(created_at, lease_expires_at, next_retry_at) end) stored,
    constraint order_ledger_client_key unique (client_id, client_request_id),
    constraint order_ledger_finished check
        ((status in ('COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED')) = (finished_at is not null)),
    constraint order_ledger_lease check ((lease_owner is null) = (lease_expires_at is null)),
    constraint order_ledger_no_lease_at_rest check
        (lease_owner is null or status in ('RECEIVED', 'PENDING', 'RUNNING', 'COMPENSATING')),
    constraint order_ledger_answer check ((response_status is null) = (response_body is null))
)
-- Room on the page keeps a step's update on it (HOT); large inputs move out of line, where an update leaves them alone.
with (fillfactor = 70, toast_tuple_target = 512);

comment on column order_ledger.due_at is 'claimed in this order by orchestrators; null: nothing to do';
create index order_ledger_due on order_ledger (due_at) where due_at is not null;
create index order_ledger_created on order_ledger (created_at desc, order_ledger_id desc);
create index order_ledger_customer on order_ledger (customer_id, created_at desc, order_ledger_id desc);
create index order_ledger_unfinished on order_ledger (status, created_at) where finished_at is null;
create index order_ledger_parent on order_ledger (parent_id) where parent_id is not null;

-- What the input says of a person: apart, so that it can be erased while the history stays whole.
create table order_personal (
    order_ledger_id uuid primary key references order_ledger on delete cascade,
    data jsonb not null
);

create table order_ledger_items (
    order_ledger_id uuid not null references order_ledger on delete cascade,
    line integer not null check (line >= 1),
    sku text not null,
    quantity integer not null check (quantity between 1 and 1000000),
    unit_price_minor bigint not null check (unit_price_minor between 0 and 1000000000),
    description text,
    primary key (order_ledger_id, line)
);

create table ledger_journal (
    order_ledger_id uuid not null references order_ledger,
    seq integer not null check (seq >= 1),
    at timestamptz not null,
    kind text not null check (kind in ('intent', 'outcome', 'status', 'takeover', 'operator')),
    step text,
    direction text check (direction in ('action', 'compensation')),
    round integer not null default 1 check (round >= 1),
    attempt integer check (attempt >= 1),
    outcome text,                              -- of an attempt: succeeded, rejected, unknown; of a status entry: the status
    request jsonb,
    response jsonb,
    error text,
    duration_ms double precision check (duration_ms >= 0),
    replica text not null,
    lease_epoch bigint not null,
    actor text,
    reason text,
    hash bytea not null,                       -- over this entry and the hash of the one before it
    primary key (order_ledger_id, seq),
    constraint ledger_journal_shape check (case kind
        when 'intent' then step is not null and direction is not null and attempt is not null and outcome is null
        when 'outcome' then step is not null and direction is not null and attempt is not null
                            and outcome in ('succeeded', 'rejected', 'unknown')
        when 'takeover' then (step is null) = (outcome is null) and (outcome is null or outcome = 'unknown')
        when 'status' then outcome is not null
        else actor is not null and reason is not null end)
);
-- The rules of the protocol as constraints: an attempt is intended once, closed once, and a step done at most once.
create unique index ledger_journal_intent on ledger_journal (order_ledger_id, step, direction, round, attempt)
    where kind = 'intent';
create unique index ledger_journal_closed on ledger_journal (order_ledger_id, step, direction, round, attempt)
    where kind in ('outcome', 'takeover') and step is not null;
create unique index ledger_journal_done on ledger_journal (order_ledger_id, step, direction)
    where outcome = 'succeeded';

create table outbox (
    id uuid not null default gen_random_uuid(),
    aggregatetype text not null default 'order',
    aggregateid uuid not null references order_ledger (order_ledger_id),
    type text not null,
    payload jsonb not null,
    correlation_id text not null,
    seq integer not null,                      -- the order's journal entry that the event tells of
    created_at timestamptz not null default clock_timestamp(),
    transaction_id xid8 not null default pg_current_xact_id(),
    ordinal bigint not null generated always as identity,
    primary key (aggregateid, id)
);
create index outbox_feed on outbox (transaction_id, ordinal);

-- The hash chain of the journal. The text of an entry is canonical: jsonb writes equal values the same way everywhere.
create function journal_entry_text(order_ledger_id uuid, seq integer, at timestamptz, kind text, step text, direction text,
        round integer, attempt integer, outcome text, request jsonb, response jsonb, error text,
        duration_ms double precision, replica text, lease_epoch bigint, actor text, reason text)
    returns text language sql stable parallel safe as
$$ select jsonb_build_array(order_ledger_id, seq, extract(epoch from at), kind, step, direction, round, attempt, outcome,
        request, response, error, duration_ms, replica, lease_epoch, actor, reason)::text $$;

create function journal_digest(state bytea, head bytea, entry text) returns bytea
    language sql immutable parallel safe as
$$ select sha256(coalesce(state, head, ''::bytea) || convert_to(entry, 'UTF8')) $$;

-- `journal_chain(head, entry) over (partition by order order by seq)`: each entry's hash, the chain going on from head.
create aggregate journal_chain(head bytea, entry text) (sfunc = journal_digest, stype = bytea);

-- History is appended to, never changed. TRUNCATE fires no row trigger and needs one of its own.
create function refuse_change() returns trigger language plpgsql as
$$ begin raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege'; end $$;
create trigger ledger_journal_append_only before update or delete on ledger_journal
    for each row execute function refuse_change();
create trigger ledger_journal_no_truncate before truncate on ledger_journal
    for each statement execute function refuse_change();
