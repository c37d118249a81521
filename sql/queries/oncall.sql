-- Telling people of orders that need them. Each way of telling is a subscription of its own (`webhooks.sql`), so events become
-- deliveries, and deliveries are settled, tried again and given up, as for every webhook; what differs is that all that is due
-- goes into one message, and that no two messages begin within some time.

-- name: open_channel
-- A way of telling people that is there from now on.
select open_channel(%(channel)s, %(name)s, %(url)s, %(types)s::text[]);

-- name: claim_notices
-- Begins one attempt of all that is due by a channel, the longest due first, unless a message of it began within the last
-- `window_s` seconds, at whichever replica. Until the lease ends nobody else begins one of these. Each row is an order's event
-- with the order as it stands now; an order that has left the ledger meanwhile took its deliveries along. `repeated`: it is STUCK
-- over a compensation of which people were told when it failed, and nobody has had it go on since.
with turn as materialized (
    update event_subscription s set held_until = clock_timestamp() + make_interval(secs => %(window_s)s)
    where s.channel = %(channel)s and s.disabled_at is null and coalesce(s.held_until <= clock_timestamp(), true)
        and exists (select from event_delivery d where d.subscription_id = s.subscription_id and d.delivered_at is null
                        and d.dead_at is null and d.next_retry_at <= clock_timestamp())
    returning s.subscription_id, s.name
), due as materialized (
    select d.subscription_id, d.order_ledger_id, d.event_id, t.name
    from turn t join event_delivery d using (subscription_id)
    where d.delivered_at is null and d.dead_at is null and d.next_retry_at <= clock_timestamp()
    order by d.next_retry_at
    limit %(limit)s
    for update of d skip locked
), claimed as (
    update event_delivery d set attempts = d.attempts + 1,
        next_retry_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
    from due
    where d.subscription_id = due.subscription_id and d.order_ledger_id = due.order_ledger_id and d.event_id = due.event_id
    returning d.subscription_id, d.order_ledger_id, d.event_id, d.attempts, due.name
)
select c.subscription_id, c.name, c.order_ledger_id, c.event_id, c.attempts, extract(epoch from clock_timestamp())::bigint as now_s,
    o.type, o.seq, o.correlation_id, o.created_at, o.payload, l.status,
    step_told(l.status, l.step, l.progress) as step, l.last_error,
    o.type = 'OrderStuck' and l.last_error like 'could not be undone: %%' and exists (
        select from outbox before join event_delivery d
            on d.subscription_id = c.subscription_id and d.order_ledger_id = before.aggregateid and d.event_id = before.id
        where before.aggregateid = c.order_ledger_id and before.type = 'CompensationFailed' and before.seq < o.seq
            and d.delivered_at is not null
            and not exists (select from ledger_journal j where j.order_ledger_id = c.order_ledger_id and j.kind = 'operator'
                                and j.seq > before.seq and j.seq <= o.seq)) as repeated
from claimed c
    join outbox o on o.aggregateid = c.order_ledger_id and o.id = c.event_id
    join order_ledger l on l.order_ledger_id = c.order_ledger_id
order by o.transaction_id, o.ordinal;

-- name: find_notified
-- When people were last told of an order, by whatever channel; null for never.
select max(d.delivered_at) as notified_at
from event_delivery d join event_subscription s using (subscription_id)
where d.order_ledger_id = %(order_ledger_id)s and s.channel is not null;
