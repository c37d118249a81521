-- What the fleet shares beside orders: the registry of participants, their breakers, each saga's configuration, and who
-- is told of events.
-- depends: 0001.create-ledger

create table participant (
    name text primary key,
    address text not null,
    limits jsonb not null default '{}',
    updated_at timestamptz not null default clock_timestamp()
);

create table participant_breaker (
    participant text primary key,
    state text not null default 'closed' check (state in ('closed', 'open', 'half_open', 'held')),
    calls integer not null default 0 check (calls >= 0),
    failures integer not null default 0 check (failures >= 0),
    opened_at timestamptz,
    probe_expires_at timestamptz,              -- the fleet's one half-open probe; given again when it runs out
    actor text,
    reason text,
    updated_at timestamptz not null default clock_timestamp()
);

create table saga_config (
    saga text not null,
    revision integer not null check (revision >= 1),
    state text not null check (state in ('pending', 'active', 'retired', 'discarded')),
    body jsonb not null,
    actor text not null,
    reason text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (saga, revision)
);
create unique index saga_config_one_pending on saga_config (saga) where state = 'pending';
create unique index saga_config_one_active on saga_config (saga) where state = 'active';

create table event_subscription (
    subscription_id uuid primary key default gen_random_uuid(),
    url text not null,
    types text[] not null default '{}',        -- empty: every type
    created_at timestamptz not null default clock_timestamp(),
    disabled_at timestamptz
);

create table event_delivery (
    subscription_id uuid not null references event_subscription on delete cascade,
    order_ledger_id uuid not null,
    event_id uuid not null,
    attempts integer not null default 0 check (attempts >= 0),
    next_retry_at timestamptz not null default clock_timestamp(),
    delivered_at timestamptz,
    dead_at timestamptz,
    error text,
    primary key (subscription_id, order_ledger_id, event_id),
    foreign key (order_ledger_id, event_id) references outbox (aggregateid, id) on delete cascade,
    constraint event_delivery_ended_once check (delivered_at is null or dead_at is null)
);
create index event_delivery_due on event_delivery (next_retry_at) where delivered_at is null and dead_at is null;
