-- Webhooks: a subscription has a name, secrets to sign with and a position in the feed; each event behind the position has
-- a delivery of its own, which is tried until it is answered or given up (dead).
-- depends: 0009.add-event-feed

alter table event_subscription
    add column name text,
    add column secret text,                            -- `whsec_` and base64; whoever reads it can sign
    add column old_secret text,                        -- signs too, until then
    add column old_secret_until timestamptz,
    -- Position in the feed: of every event up to here that it asked for, a delivery was made.
    add column transaction_id xid8 not null default '0',
    add column ordinal bigint not null default 0,
    add column missed bigint not null default 0,       -- events that retention removed before they were delivered
    add column failing_since timestamptz,              -- null while deliveries are answered
    add column disabled_reason text;
-- Nothing wrote subscriptions before; whatever is there gets what it needs.
update event_subscription set name = subscription_id::text,
    secret = 'whsec_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64');
alter table event_subscription
    alter column name set not null,
    alter column secret set not null,
    add constraint event_subscription_name unique (name);

-- While a delivery is on its way, next_retry_at is when its lease ends; `attempts` counts those that began, and is what the
-- one who makes the attempt proves itself by.
create index event_delivery_waiting on event_delivery (subscription_id, next_retry_at)
    where delivered_at is null and dead_at is null;
drop index event_delivery_due; -- which nothing has read; the new one serves what it was for, receiver by receiver
create index event_delivery_dead on event_delivery (dead_at, event_id) where dead_at is not null;
create index event_delivery_done on event_delivery (delivered_at) where delivered_at is not null;
alter table event_delivery set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05);

-- As before; and what an enabled subscription still needs is left for another time, be there a delivery of it or not.
-- A subscription that is disabled holds nothing back: what it loses by that is counted.
create or replace function purge_orders(older_than interval, orders_max integer) returns integer
    language plpgsql security definer set search_path = public, pg_temp as
$$
declare
    due uuid[];
begin
    due := array(
        select l.order_ledger_id
        from order_ledger l
        where l.created_at < clock_timestamp() - older_than and l.finished_at < clock_timestamp() - older_than
            and not exists (select from order_ledger c where c.parent_id = l.order_ledger_id and c.finished_at is null)
            and not exists (select from event_delivery d join event_subscription s using (subscription_id)
                where d.order_ledger_id = l.order_ledger_id and d.delivered_at is null and d.dead_at is null
                    and s.disabled_at is null)
            and not exists (select from outbox o join event_subscription s
                on (o.transaction_id, o.ordinal) > (s.transaction_id, s.ordinal)
                where o.aggregateid = l.order_ledger_id and s.disabled_at is null)
        order by l.created_at, l.order_ledger_id
        limit orders_max
        for update skip locked);
    update event_subscription s set missed = s.missed + lost.events
    from (select n.subscription_id, count(*) as events
          from event_subscription n join outbox o on cardinality(n.types) = 0 or o.type = any (n.types)
              left join event_delivery d on d.subscription_id = n.subscription_id
                  and d.order_ledger_id = o.aggregateid and d.event_id = o.id
          where o.aggregateid = any (due)
              and case when d.event_id is null then (o.transaction_id, o.ordinal) > (n.transaction_id, n.ordinal)
                       else d.delivered_at is null and d.dead_at is null end
          group by n.subscription_id) lost
    where s.subscription_id = lost.subscription_id;
    insert into purged_order (order_ledger_id, client_id, client_request_id, request_hash, response_status,
        response_body, saga, status, lease_epoch, last_seq, chain_head, replays, created_at, finished_at)
    select order_ledger_id, client_id, client_request_id, request_hash, response_status, response_body, saga, status,
        lease_epoch, last_seq, chain_head, replays, created_at, finished_at
    from order_ledger where order_ledger_id = any (due);
    delete from outbox where aggregateid = any (due);
    delete from ledger_journal where order_ledger_id = any (due);
    delete from order_ledger where order_ledger_id = any (due);
    return cardinality(due);
end
$$;

-- As before; and subscriptions go on where they stood: of every event that they had not come to a delivery is made before
-- the order of the feed is another one.
create or replace function restart_feed() returns bigint
    language plpgsql set search_path = public, pg_temp as
$$
declare
    events bigint;
begin
    insert into event_delivery (subscription_id, order_ledger_id, event_id)
    select s.subscription_id, o.aggregateid, o.id
    from event_subscription s join outbox o on (o.transaction_id, o.ordinal) > (s.transaction_id, s.ordinal)
    where cardinality(s.types) = 0 or o.type = any (s.types);
    update event_subscription set transaction_id = '1', ordinal = (select coalesce(max(ordinal), 0) from outbox);
    update outbox set transaction_id = '1';
    get diagnostics events = row_count;
    update outbox_removed set transaction_id = '0', ordinal = 0;
    return events;
end
$$;
