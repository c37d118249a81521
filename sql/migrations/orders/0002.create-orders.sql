-- Customers, and the shop's own record of an order.
-- depends: 0001.create-fence-and-effects

create table customer (
    customer_id text primary key check (char_length(customer_id) between 1 and 255),
    name        text,
    active      boolean not null default true,
    created_at  timestamptz not null default clock_timestamp(),
    updated_at  timestamptz not null default clock_timestamp()
);

-- An order names its customer without a foreign key: whether a customer may order is a step of a saga, not of this table.
create table shop_order (
    order_ledger_id text primary key,
    customer_id     text not null,
    currency        text not null check (currency ~ '^[A-Z]{3}$'),
    total_minor     bigint not null check (total_minor > 0),
    status          text not null default 'created' check (status in ('created', 'confirmed', 'cancelled')),
    created_at      timestamptz not null default clock_timestamp(),
    confirmed_at    timestamptz,
    cancelled_at    timestamptz,
    constraint confirmed_has_time check (status <> 'confirmed' or confirmed_at is not null),
    constraint cancelled_has_time check ((status = 'cancelled') = (cancelled_at is not null))
);

create table shop_order_line (
    order_ledger_id  text not null references shop_order,
    line             integer not null check (line >= 1),
    sku              text not null,
    quantity         bigint not null check (quantity >= 1),
    unit_price_minor bigint not null check (unit_price_minor >= 0),
    primary key (order_ledger_id, line)
);
