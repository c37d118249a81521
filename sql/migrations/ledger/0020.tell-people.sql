-- People are told of orders that need them: a subscription for each way of telling (`channel`), whose deliveries go out
-- together in one message, and no two messages within some time. Their deliveries are kept as long as their orders: they say
-- when people were told.
-- depends: 0019.let-orders-be-paused

alter table event_subscription
    add column channel text                            -- null: a webhook that gets each event by itself
        constraint event_subscription_channel check (channel in ('webhook', 'mail')),
    add column held_until timestamptz;                 -- of a channel: no message begins before it; null for at once

-- A way of telling people that is there from now on, with what happens from now on; nothing where it is there already. It is
-- all that orchestrators may add: webhooks are for edges and operators, who leave a record of it.
create function open_channel(kind text, channel_name text, source text, told text[]) returns void
    language sql security definer set search_path = public, pg_temp as
$$ insert into event_subscription (name, url, types, secret, transaction_id, channel)
   select channel_name, source, told, '', pg_snapshot_xmin(pg_current_snapshot()), kind
   where not exists (select from event_subscription where name = channel_name)
   on conflict (name) do nothing $$;
revoke execute on function open_channel(text, text, text, text[]) from public;
grant execute on function open_channel(text, text, text, text[]) to sagaledger_orchestrator;
grant update (held_until) on event_subscription to sagaledger_orchestrator;
grant select (channel, held_until) on event_subscription to sagaledger_auditor;
