-- Stock, every movement that made it, and what is held of it for an order.
-- depends: 0001.create-fence-and-effects

-- Invariants, for the audit: on_hand = sum of its movements; reserved = sum of the lines of held reservations.
create table stock (
    sku        text primary key check (char_length(sku) between 1 and 64),
    name       text not null,
    on_hand    bigint not null check (on_hand >= 0),
    reserved   bigint not null default 0 check (reserved >= 0),
    created_at timestamptz not null default clock_timestamp(),
    constraint reserved_is_on_hand check (reserved <= on_hand)
) with (fillfactor = 70);                                       -- hot rows: room for updates on their page

create table stock_movement (
    movement_id   bigint generated always as identity primary key,
    sku           text not null references stock,
    kind          text not null check (kind in ('initial', 'receipt')),
    quantity      bigint not null check (quantity > 0 or (kind = 'initial' and quantity = 0)),
    operation_key text not null,
    at            timestamptz not null default clock_timestamp()
);

create index stock_movement_sku on stock_movement (sku);
create unique index stock_movement_initial on stock_movement (sku) where kind = 'initial';

create trigger stock_movement_append_only before update or delete or truncate on stock_movement
    for each statement execute function refuse_change();

-- An order has one reservation; it stands until it is released.
create table reservation (
    order_id    text primary key,
    status      text not null default 'held' check (status in ('held', 'released')),
    created_at  timestamptz not null default clock_timestamp(),
    released_at timestamptz,
    constraint released_has_time check ((status = 'released') = (released_at is not null))
);

create table reservation_line (
    order_id text not null references reservation,
    sku      text not null references stock,
    quantity bigint not null check (quantity >= 1),
    primary key (order_id, sku)
);
