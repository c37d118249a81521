-- People are told of orders that need them: a subscription for each way of telling (`channel`), whose deliveries go out
-- together in one message, and no two messages within some time. Their deliveries are kept as long as their orders: they say
-- when people were told.
-- depends: 0019.let-orders-be-paused

alter table event_subscription
    add column channel text                            -- null: a webhook that gets each event by itself
        constraint event_subscription_channel check (channel in ('webhook', 'mail')),
    add column held_until timestamptz;                 -- of a channel: no message begins before it; null for at once

grant insert (name, url, types, secret, transaction_id, channel), update (held_until) on event_subscription
    to sagaledger_orchestrator;
grant select (channel, held_until) on event_subscription to sagaledger_auditor;
