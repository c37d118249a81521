-- Shipments. The address describes a person; it can be erased while the shipment stays.
-- depends: 0001.create-fence-and-effects

create table shipment (
    shipment_id  text primary key,
    order_id     text not null,
    address      jsonb,                                         -- null for goods that are collected, or when erased
    status       text not null default 'scheduled' check (status in ('scheduled', 'shipped', 'cancelled')),
    scheduled_at timestamptz not null default clock_timestamp(),
    cancelled_at timestamptz,
    constraint cancelled_has_time check ((status = 'cancelled') = (cancelled_at is not null))
);

create index shipment_order on shipment (order_id);
