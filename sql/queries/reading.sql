-- What clients and operators read of orders. Nothing here changes or locks a row, and nothing returns leases, request
-- hashes or frozen answers. A filter that is null lets everything through; these statements are never prepared, so that
-- the planner sees which filters are null and uses the index of the others.

-- name: get_order
-- One order with its items and with its steps in the order of its definition. Of a step's error only the last one is
-- shown, and none once the step has succeeded; its end is shown only where its state is final.
select l.order_ledger_id, l.client_id, l.client_request_id, l.saga, l.saga_version, l.status, l.step, l.direction,
    l.retry_count, l.next_retry_at, l.last_error, l.customer_id, l.currency, l.total_minor, l.results, l.metadata,
    l.correlation_id, l.parent_id, l.paused_at, l.deadline_at, l.created_at, l.updated_at, l.finished_at,
    coalesce((select jsonb_agg(jsonb_build_object('line', i.line, 'sku', i.sku, 'quantity', i.quantity,
                                                  'unit_price_minor', i.unit_price_minor, 'description', i.description)
                               order by i.line)
              from order_ledger_items i where i.order_ledger_id = l.order_ledger_id), '[]') as items,
    coalesce((select jsonb_agg(jsonb_build_object('name', s.name, 'state', s.state, 'attempts', coalesce(j.attempts, 0),
                                                  'started_at', j.started_at,
                                                  'finished_at', case when s.state in ('succeeded', 'rejected', 'compensated',
                                                      'skipped', 'compensation_failed') then j.closed_at end,
                                                  'error', case when s.state <> 'succeeded' then j.error end)
                               order by s.position)
              from (select e.step ->> 'name' as name, e.position,
                        coalesce(l.progress #>> array['steps', e.step ->> 'name', 'state'], 'pending') as state
                    from jsonb_array_elements(d.body -> 'steps') with ordinality as e(step, position)) s
              left join (select step, count(*) filter (where kind = 'intent' and direction = 'action') as attempts,
                             min(at) filter (where kind = 'intent') as started_at,
                             max(at) filter (where kind in ('outcome', 'takeover')) as closed_at,
                             (array_agg(error order by seq desc) filter (where error is not null))[1] as error
                         from ledger_journal where order_ledger_id = l.order_ledger_id and step is not null
                         group by step) j on j.step = s.name), '[]') as steps
from order_ledger l join saga_definition d using (definition_id)
where l.order_ledger_id = %(order_ledger_id)s and (%(client_id)s::text is null or l.client_id = %(client_id)s::text);

-- name: list_orders
-- Orders, newest first, after a position: no order twice and none missed, whatever is recorded meanwhile. Without items,
-- steps and results, which one order shows. `unfinished` and `halted` (STUCK) repeat what the statuses say already, in the
-- words of the partial indexes on such orders: an index that named the status would be written at each change of it.
select l.order_ledger_id, l.client_id, l.client_request_id, l.saga, l.saga_version, l.status, l.step, l.direction,
    l.retry_count, l.next_retry_at, l.last_error, l.customer_id, l.currency, l.total_minor, l.metadata, l.correlation_id,
    l.parent_id, l.paused_at, l.deadline_at, l.created_at, l.updated_at, l.finished_at
from order_ledger l
where (%(client_id)s::text is null or l.client_id = %(client_id)s::text)
    and (%(statuses)s::text[] is null or l.status = any (%(statuses)s::text[]))
    and (not %(unfinished)s::boolean or l.finished_at is null)
    and (not %(halted)s::boolean or l.due_at is null)
    and (%(saga)s::text is null or l.saga = %(saga)s::text)
    and (%(customer_id)s::text is null or l.customer_id = %(customer_id)s::text)
    and (%(client_request_id)s::text is null or l.client_request_id = %(client_request_id)s::text)
    and (%(metadata)s::jsonb is null or not exists
        (select from jsonb_each_text(%(metadata)s::jsonb) m where l.metadata ->> m.key is distinct from m.value))
    and (%(since)s::timestamptz is null or l.created_at >= %(since)s::timestamptz)
    and (%(after_at)s::timestamptz is null
         or (l.created_at, l.order_ledger_id) < (%(after_at)s::timestamptz, %(after_id)s::uuid))
order by l.created_at desc, l.order_ledger_id desc
limit %(limit)s::integer;

-- name: get_journal
-- The journal of one order. An order without entries gives one row of nulls, one that does not exist gives none.
select j.order_ledger_id, j.seq, j.at, j.kind, j.step, j.direction, j.round, j.attempt, j.outcome, j.request, j.response,
    j.error, j.duration_ms, j.replica, j.lease_epoch, j.actor, j.reason, encode(j.hash, 'hex') as hash
from order_ledger l left join ledger_journal j using (order_ledger_id)
where l.order_ledger_id = %(order_ledger_id)s and (%(client_id)s::text is null or l.client_id = %(client_id)s::text)
order by j.seq;

-- name: count_replicas
-- Orchestrators that are connected to this ledger now, each under a name of its own.
select count(distinct application_name) as replicas
from pg_stat_activity
where datname = current_database() and application_name like 'saga orchestrator %%';

-- name: count_by_status
-- How many orders have each status; those that none has are missing. Reads the whole ledger.
select status, count(*) as orders from order_ledger group by status;

-- name: count_active
-- How many unfinished orders each saga has in each status.
select saga, status, count(*) as orders from order_ledger where finished_at is null group by saga, status;

-- name: count_pending
-- How many events are still to be delivered to a subscriber.
select count(*) as pending from event_delivery where delivered_at is null and dead_at is null;

-- name: statistics
-- What the ledger is doing, as of one moment: what is unfinished now, and the last hour of what ended. The number of
-- outbox rows is an estimate once it is large, because counting them would read them all.
with active as materialized (
    select saga, status, count(*) as orders, min(created_at) as oldest_at
    from order_ledger where finished_at is null group by saga, status
), by_saga as (
    select saga, jsonb_object_agg(status, orders) as statuses from active group by saga
), by_status as (
    select status, sum(orders)::bigint as orders from active group by status
), finished as materialized (
    select status, extract(epoch from finished_at - created_at)::double precision as seconds
    from order_ledger where finished_at >= statement_timestamp() - interval '1 hour'
), ended as (
    select status, count(*) as orders from finished group by status
), attempts as (
    select l.saga, j.step, j.direction, j.outcome, count(*) as attempts
    from ledger_journal j join order_ledger l using (order_ledger_id)
    where j.at >= statement_timestamp() - interval '1 hour' and j.kind in ('outcome', 'takeover') and j.step is not null
    group by l.saga, j.step, j.direction, j.outcome
)
select coalesce((select jsonb_object_agg(saga, statuses) from by_saga), '{}') as active,
    coalesce((select jsonb_object_agg(status, orders) from by_status), '{}') as unfinished,
    (select extract(epoch from statement_timestamp() - min(oldest_at))::double precision from active)
        as oldest_unfinished_age_s,
    coalesce((select sum(orders)::bigint from active where status = 'STUCK'), 0) as stuck,
    coalesce((select jsonb_object_agg(status, orders) from ended), '{}') as finished_last_hour,
    (select percentile_cont(0.5) within group (order by seconds) from finished) as p50_s,
    (select percentile_cont(0.95) within group (order by seconds) from finished) as p95_s,
    coalesce((select jsonb_agg(jsonb_build_object('saga', saga, 'step', step, 'direction', direction, 'outcome', outcome,
                                                  'attempts', attempts)
                               order by saga, step, direction, outcome)
              from attempts), '[]') as attempts_last_hour,
    (select case when c.reltuples > 100000 then c.reltuples::bigint else (select count(*) from outbox) end
     from pg_class c where c.oid = 'outbox'::regclass) as outbox_rows,
    (select count(*) from event_delivery where delivered_at is null and dead_at is null) as outbox_pending;

-- name: ping
-- Whether the ledger answers at all.
select 1;
