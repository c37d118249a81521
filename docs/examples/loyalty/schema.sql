-- The database of the loyalty service: what it was sent, and what follows from it.

-- The inbox: every delivery that was taken, known again by its webhook-id. It is written in the transaction of what the event
-- does, so an event is in it exactly when it had its effect.
create table if not exists inbox (
    webhook_id text primary key,
    type text not null,
    order_ledger_id uuid not null,
    seq integer not null,
    received_at timestamptz not null default clock_timestamp(),
    body jsonb not null
);

-- Points of an order. Deliveries may overtake each other: the event with the highest seq is the last word.
create table if not exists points (
    order_ledger_id uuid primary key,
    customer_id text,
    points bigint not null check (points >= 0),
    seq integer not null
);
