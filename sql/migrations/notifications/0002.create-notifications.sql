-- Messages to customers. What was sent cannot be taken back: there is no status to change.
-- depends: 0001.create-fence-and-effects

create table notification (
    notification_id text primary key,
    order_id        text not null,
    customer_id     text not null,
    template        text not null check (char_length(template) between 1 and 64),
    sent_at         timestamptz not null default clock_timestamp()
);

create index notification_order on notification (order_id, sent_at);
