-- Webhooks: who gets events sent, and each event's delivery to each of them. What is due is claimed with SKIP LOCKED, the
-- call is made without a transaction, and what came of it is written for as long as nobody else has begun an attempt.

-- name: insert_subscription
-- A subscription that begins here: with what was not committed yet, or from_start with the oldest event that is kept. Nothing
-- where there is one of this name.
insert into event_subscription (name, url, types, client_id, secret, transaction_id)
values (%(name)s, %(url)s, %(types)s::text[], %(client_id)s, %(secret)s,
    case when %(from_start)s then '0'::xid8 else pg_snapshot_xmin(pg_current_snapshot()) end)
on conflict (name) do nothing
returning subscription_id;

-- name: list_subscriptions
-- Subscriptions by name, one or all, with how many deliveries wait and are dead; no secrets.
select s.name, s.url, s.types, s.client_id, s.created_at, s.disabled_at is null as enabled, s.failing_since, s.disabled_at,
    s.disabled_reason, s.missed,
    case when s.old_secret_until > clock_timestamp() then s.old_secret_until end as old_secret_until,
    (select count(*) from event_delivery d where d.subscription_id = s.subscription_id
        and d.delivered_at is null and d.dead_at is null) as waiting,
    (select count(*) from event_delivery d where d.subscription_id = s.subscription_id and d.dead_at is not null) as dead
from event_subscription s
where %(name)s::text is null or s.name = %(name)s::text
order by s.name;

-- name: rotate_secret
-- A new secret; the one before it signs too for so many seconds.
update event_subscription set secret = %(secret)s,
    old_secret = case when %(grace_s)s > 0 then secret end,
    old_secret_until = case when %(grace_s)s > 0 then clock_timestamp() + make_interval(secs => %(grace_s)s) end
where name = %(name)s
returning subscription_id;

-- name: disable_subscription
-- From now on nothing is sent. It keeps its position and its deliveries; what was said first stays said.
update event_subscription set disabled_at = coalesce(disabled_at, clock_timestamp()),
    disabled_reason = coalesce(disabled_reason, %(reason)s)
where name = %(name)s
returning subscription_id;

-- name: enable_subscription
-- It goes on where it stood.
update event_subscription set disabled_at = null, disabled_reason = null, failing_since = null
where name = %(name)s
returning subscription_id;

-- name: delete_some_deliveries
-- A batch of a subscription's deliveries, so that removing it never takes long; how many.
with batch as materialized (
    select d.order_ledger_id, d.event_id
    from event_delivery d join event_subscription s using (subscription_id)
    where s.name = %(name)s limit %(limit)s
), deleted as (
    delete from event_delivery d using event_subscription s, batch
    where s.name = %(name)s and d.subscription_id = s.subscription_id
        and d.order_ledger_id = batch.order_ledger_id and d.event_id = batch.event_id
    returning 1
)
select count(*)::bigint as deleted from deleted;

-- name: delete_subscription
-- With what is left of its deliveries.
delete from event_subscription where name = %(name)s returning subscription_id;

-- name: fan_out
-- Makes deliveries of events that came since, for every subscription that nobody else does it for at the moment, and moves
-- their positions on. An event counts as in the feed: once every transaction that began to write before it has ended.
-- A subscription that has `waiting_max` deliveries waiting gets none until some have ended: a receiver that is away for days
-- has its backlog in the outbox, where it costs nothing. A batch is limited for each, so none holds up another.
-- One that has an owner gets the events of that client's orders: each is one look by primary key, as in the feed.
-- Whether there is something new is asked by index, one look each, before any row is locked: at rest nothing is written.
-- Gives one row: how many subscriptions there are, how many deliveries were made, whether there is more at once, and the
-- seconds until a delivery that was there before is due (null when none waits).
with behind as materialized (
    select s.subscription_id, s.types, s.client_id, s.transaction_id, s.ordinal
    from event_subscription s
    where s.disabled_at is null
        and (select o.ordinal from outbox o
             where (o.transaction_id, o.ordinal) > (s.transaction_id, s.ordinal)
                 and o.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
             order by o.transaction_id, o.ordinal limit 1) is not null
    for update skip locked
), scanned as materialized (
    select b.subscription_id, o.aggregateid, o.id, o.transaction_id, o.ordinal,
        (cardinality(b.types) = 0 or o.type = any (b.types)) and (b.client_id is null
            or b.client_id = (select l.client_id from order_ledger l where l.order_ledger_id = o.aggregateid)) as wanted
    from behind b cross join lateral (
        select * from outbox
        where (outbox.transaction_id, outbox.ordinal) > (b.transaction_id, b.ordinal)
            and outbox.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        order by outbox.transaction_id, outbox.ordinal
        limit least(%(limit)s::bigint, %(waiting_max)s::bigint - (select count(*) from (
            select from event_delivery d
            where d.subscription_id = b.subscription_id and d.delivered_at is null and d.dead_at is null
            limit %(waiting_max)s::bigint) waiting))) o
), moved as (
    update event_subscription s set transaction_id = r.transaction_id, ordinal = r.ordinal
    from (select distinct on (subscription_id) subscription_id, transaction_id, ordinal
          from scanned order by subscription_id, scanned.transaction_id desc, scanned.ordinal desc) r
    where s.subscription_id = r.subscription_id
), made as (
    insert into event_delivery (subscription_id, order_ledger_id, event_id)
    select subscription_id, aggregateid, id from scanned where wanted
    order by transaction_id, ordinal
    returning 1
)
select (select count(*) from event_subscription) as subscriptions,
    (select count(*) from made) as made,
    exists (select from scanned group by subscription_id having count(*) = %(limit)s::bigint) as more,
    (select extract(epoch from min(greatest(n.next_retry_at, s.held_until)) - clock_timestamp())::double precision
     from event_subscription s cross join lateral (
         select d.next_retry_at from event_delivery d
         where d.subscription_id = s.subscription_id and d.delivered_at is null and d.dead_at is null
         order by d.next_retry_at limit 1) n
     where s.disabled_at is null) as next_due_s;

-- name: claim_deliveries
-- Begins attempts of what is due, the longest due first, for each receiver at most so many: `slots` for those that are
-- named, `slots_max` for others; not of what people are told (`claim_notices`). Until the lease ends nobody else begins one.
-- `now_s` is the database's clock.
with due as materialized (
    select n.subscription_id, n.order_ledger_id, n.event_id
    from event_subscription s
        left join unnest(%(busy)s::uuid[], %(slots)s::bigint[]) as b (subscription_id, slots)
            on b.subscription_id = s.subscription_id
        cross join lateral (
            select d.subscription_id, d.order_ledger_id, d.event_id from event_delivery d
            where d.subscription_id = s.subscription_id and d.delivered_at is null and d.dead_at is null
                and d.next_retry_at <= clock_timestamp()
            order by d.next_retry_at
            limit coalesce(b.slots, %(slots_max)s::bigint)
            for update skip locked) n
    where s.disabled_at is null and s.channel is null
), claimed as (
    update event_delivery d set attempts = d.attempts + 1,
        next_retry_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
    from due
    where d.subscription_id = due.subscription_id and d.order_ledger_id = due.order_ledger_id and d.event_id = due.event_id
    returning d.subscription_id, d.order_ledger_id, d.event_id, d.attempts
)
select c.subscription_id, s.name, s.url, s.secret,
    case when s.old_secret_until > clock_timestamp() then s.old_secret end as old_secret,
    c.order_ledger_id, c.event_id, c.attempts, extract(epoch from clock_timestamp())::bigint as now_s,
    o.type, o.seq, o.correlation_id, o.created_at, o.payload
from claimed c
    join event_subscription s on s.subscription_id = c.subscription_id
    join outbox o on o.aggregateid = c.order_ledger_id and o.id = c.event_id
order by o.transaction_id, o.ordinal;

-- name: settle_deliveries
-- Writes what attempts came to: answered (no error), to be tried again after so many seconds, or dead (no delay). One whose
-- lease has ended and that somebody else has begun anew since is left alone. A receiver that says it is gone, or that has
-- answered nothing for so long, gets nothing more until somebody enables it; people are told on. Gives the names of those.
with told as (
    select * from unnest(%(subscription_ids)s::uuid[], %(order_ledger_ids)s::uuid[], %(event_ids)s::uuid[], %(attempts)s::integer[],
        %(errors)s::text[], %(delays_s)s::double precision[], %(gone)s::boolean[])
        as t (subscription_id, order_ledger_id, event_id, attempts, error, delay_s, gone)
), settled as (
    update event_delivery d set error = t.error,
        delivered_at = case when t.error is null then clock_timestamp() end,
        dead_at = case when t.error is not null and t.delay_s is null then clock_timestamp() end,
        next_retry_at = case when t.delay_s is null then d.next_retry_at
                             else clock_timestamp() + make_interval(secs => t.delay_s) end
    from told t
    where d.subscription_id = t.subscription_id and d.order_ledger_id = t.order_ledger_id and d.event_id = t.event_id
        and d.attempts = t.attempts and d.delivered_at is null and d.dead_at is null
), heard as (
    select subscription_id, bool_or(error is null) as answered, bool_or(gone) as gone from told group by subscription_id
), judged as (
    select s.subscription_id, h.answered, case
        when h.gone then 'the receiver answered 410 Gone'
        when not h.answered and s.failing_since < clock_timestamp() - make_interval(secs => %(disable_after_s)s)
            then 'no delivery was answered since ' || to_char(s.failing_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'
        end as reason
    from heard h join event_subscription s using (subscription_id)
    where s.disabled_at is null and s.channel is null
), noted as (
    update event_subscription s set
        failing_since = case when not j.answered then coalesce(s.failing_since, clock_timestamp()) end,
        disabled_at = case when j.reason is not null then clock_timestamp() end,
        disabled_reason = j.reason
    from judged j
    where s.subscription_id = j.subscription_id and s.disabled_at is null
        -- Only what changes is written: while deliveries are answered nothing is.
        and (j.answered = (s.failing_since is not null) or j.reason is not null)
    returning s.name, s.disabled_reason
)
select name, disabled_reason from noted where disabled_reason is not null;

-- name: give_back_deliveries
-- Attempts that were broken off because their replica stops: they don't count, and are due again at once.
update event_delivery d set attempts = d.attempts - 1, next_retry_at = clock_timestamp()
from unnest(%(subscription_ids)s::uuid[], %(order_ledger_ids)s::uuid[], %(event_ids)s::uuid[], %(attempts)s::integer[])
    as t (subscription_id, order_ledger_id, event_id, attempts)
where d.subscription_id = t.subscription_id and d.order_ledger_id = t.order_ledger_id and d.event_id = t.event_id
    and d.attempts = t.attempts and d.delivered_at is null and d.dead_at is null;

-- name: delete_delivered
-- A batch of deliveries that were answered so many days ago; how many. Those that say when people were told stay.
with old as materialized (
    select subscription_id, order_ledger_id, event_id from event_delivery
    where delivered_at < clock_timestamp() - make_interval(secs => %(older_than_days)s * 86400.0)
        and subscription_id <> all (array(select s.subscription_id from event_subscription s where s.channel is not null))
    order by delivered_at limit %(limit)s
    for update skip locked
), deleted as (
    delete from event_delivery d using old
    where d.subscription_id = old.subscription_id and d.order_ledger_id = old.order_ledger_id and d.event_id = old.event_id
    returning 1
)
select count(*)::bigint as deleted from deleted;

-- name: count_dead
-- How many deliveries were given up, of one subscription or of all.
select count(*)::bigint as dead
from event_delivery d join event_subscription s using (subscription_id)
where d.dead_at is not null and (%(webhook)s::text is null or s.name = %(webhook)s::text);

-- name: list_dead
-- Deliveries that were given up, those given up last first.
select d.event_id, o.type, d.order_ledger_id, o.seq, o.created_at as occurred_at, s.name as webhook, d.attempts, d.dead_at,
    d.error
from event_delivery d
    join event_subscription s using (subscription_id)
    join outbox o on o.aggregateid = d.order_ledger_id and o.id = d.event_id
where d.dead_at is not null and (%(webhook)s::text is null or s.name = %(webhook)s::text)
order by d.dead_at desc, d.event_id desc
limit %(limit)s;

-- name: replay_dead
-- Has deliveries that were given up until then tried again, with all their attempts: of one event or of all, of one
-- subscription or of all, the oldest first and at most so many. `before` null is now. Gives each that it took.
with chosen as materialized (
    select d.subscription_id, d.order_ledger_id, d.event_id, s.name as webhook
    from event_delivery d join event_subscription s using (subscription_id)
    where d.dead_at <= coalesce(%(before)s::timestamptz, clock_timestamp())
        and (%(event_id)s::uuid is null or d.event_id = %(event_id)s::uuid)
        and (%(webhook)s::text is null or s.name = %(webhook)s::text)
    order by d.dead_at, d.event_id
    limit %(limit)s
    for update of d skip locked
)
update event_delivery d set attempts = 0, dead_at = null, next_retry_at = clock_timestamp()
from chosen c
where d.subscription_id = c.subscription_id and d.order_ledger_id = c.order_ledger_id and d.event_id = c.event_id
returning d.event_id, c.webhook;

-- name: count_deliveries
-- How many deliveries wait and how many are dead, by two indexes that hold nothing else.
select (select count(*) from event_delivery where delivered_at is null and dead_at is null) as pending,
    (select count(*) from event_delivery where dead_at is not null) as dead;

-- name: read_clock
-- The database's clock: until when dead letters belong to the set that is replayed.
select clock_timestamp() as now;
