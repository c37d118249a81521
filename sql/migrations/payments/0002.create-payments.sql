-- Money set aside, taken, given back. The payment method is not kept: it describes a person and is needed once.
-- depends: 0001.create-fence-and-effects

create table payment (
    authorization_id text primary key,
    order_id         text not null,
    amount_minor     bigint not null check (amount_minor > 0),
    currency         text not null check (currency ~ '^[A-Z]{3}$'),
    status           text not null default 'authorized'
                     check (status in ('authorized', 'captured', 'voided', 'refunded')),
    authorized_at    timestamptz not null default clock_timestamp(),
    captured_at      timestamptz,
    voided_at        timestamptz,
    refunded_at      timestamptz,
    constraint captured_has_time check ((status in ('captured', 'refunded')) = (captured_at is not null)),
    constraint voided_has_time check ((status = 'voided') = (voided_at is not null)),
    constraint refunded_has_time check ((status = 'refunded') = (refunded_at is not null))
);

create index payment_order on payment (order_id);
