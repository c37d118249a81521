-- What clients and operators read of orders. Nothing here changes or locks a row, and nothing returns leases, request
-- hashes or frozen answers. A filter that is null lets everything through; statements that list or count are never
-- prepared, so that the planner sees which filters are null and uses the index of the others.

-- name: get_order
-- One order with its items, with its steps in the order of its definition, and with what was begun on it, oldest first. Of a step's error only the last one is
-- shown, and none once the step has succeeded; its end is shown only where its state is final.
select l.order_ledger_id, l.client_id, l.client_request_id, l.saga, l.saga_version, l.status,
    step_told(l.status, l.step, l.progress) as step, l.direction,
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
                         group by step) j on j.step = s.name), '[]') as steps,
    coalesce((select jsonb_agg(jsonb_build_object('order_ledger_id', c.order_ledger_id, 'saga', c.saga, 'status', c.status)
                               order by c.created_at, c.order_ledger_id)
              from order_ledger c where c.parent_id = l.order_ledger_id), '[]') as children
from order_ledger l join saga_definition d using (definition_id)
where l.order_ledger_id = %(order_ledger_id)s and (%(client_id)s::text is null or l.client_id = %(client_id)s::text);

-- name: list_orders
-- Orders, newest first, after a position: no order twice and none missed, whatever is recorded meanwhile. Without items,
-- steps and results, which one order shows. `unfinished` and `halted` (STUCK, or on hold) repeat what is asked for already, in the
-- words of the partial indexes on such orders: an index that named the status would be written at each change of it. `last` is
-- the position to which is looked.
select l.order_ledger_id, l.client_id, l.client_request_id, l.saga, l.saga_version, l.status,
    step_told(l.status, l.step, l.progress) as step, l.direction,
    l.retry_count, l.next_retry_at, l.last_error, l.customer_id, l.currency, l.total_minor, l.metadata, l.correlation_id,
    l.parent_id, l.paused_at, l.deadline_at, l.created_at, l.updated_at, l.finished_at
from order_ledger l
where (%(client_id)s::text is null or l.client_id = %(client_id)s::text)
    and (%(client_ids)s::text[] is null or l.client_id = any (%(client_ids)s::text[]))
    and (%(statuses)s::text[] is null or l.status = any (%(statuses)s::text[]))
    and (not %(unfinished)s::boolean or l.finished_at is null)
    and (not %(halted)s::boolean or l.due_at is null)
    and (not %(paused)s::boolean or l.paused_at is not null)
    and (%(saga)s::text is null or l.saga = %(saga)s::text)
    and (%(customer_id)s::text is null or l.customer_id = %(customer_id)s::text)
    and (%(client_request_id)s::text is null or l.client_request_id = %(client_request_id)s::text)
    and (%(metadata)s::jsonb is null or not exists
        (select from jsonb_each_text(%(metadata)s::jsonb) m where l.metadata ->> m.key is distinct from m.value))
    and (%(error)s::text is null or strpos(lower(l.last_error), lower(%(error)s::text)) > 0)
    and (%(since)s::timestamptz is null or l.created_at >= %(since)s::timestamptz)
    and (%(until)s::timestamptz is null or l.created_at < %(until)s::timestamptz)
    and (%(after_at)s::timestamptz is null
         or (l.created_at, l.order_ledger_id) < (%(after_at)s::timestamptz, %(after_id)s::uuid))
    and (%(last_at)s::timestamptz is null
         or (l.created_at, l.order_ledger_id) >= (%(last_at)s::timestamptz, %(last_id)s::uuid))
order by l.created_at desc, l.order_ledger_id desc
limit %(limit)s::integer;

-- name: list_ids
-- Ids of orders from one to another, by the primary key.
select order_ledger_id from order_ledger
where order_ledger_id between %(first)s and %(last)s order by order_ledger_id limit %(limit)s::integer;

-- name: read_in_order
-- For the rest of the transaction what is asked for in an order is read in it from an index, not sorted: where the policy on clients'
-- rows counts, the planner takes far fewer of them for visible than are, and would read a whole ledger to sort ten thousand.
select set_config('enable_sort', 'off', true), set_config('max_parallel_workers_per_gather', '0', true);

-- name: find_last_to_look_at
-- Where a look for what no index tells stops: at the last of so many orders of those that indexes tell. No row where there are not
-- so many.
select l.created_at, l.order_ledger_id
from order_ledger l
where (%(client_id)s::text is null or l.client_id = %(client_id)s::text)
    and (%(customer_id)s::text is null or l.customer_id = %(customer_id)s::text)
    and (not %(unfinished)s::boolean or l.finished_at is null)
    and (not %(halted)s::boolean or l.due_at is null)
    and (%(since)s::timestamptz is null or l.created_at >= %(since)s::timestamptz)
    and (%(until)s::timestamptz is null or l.created_at < %(until)s::timestamptz)
    and (%(after_at)s::timestamptz is null
         or (l.created_at, l.order_ledger_id) < (%(after_at)s::timestamptz, %(after_id)s::uuid))
order by l.created_at desc, l.order_ledger_id desc
offset %(look_max)s::integer - 1 limit 1;

-- name: list_clients
-- Clients that have orders, by name: each found in the index behind the one before, however many orders they have.
with recursive client (client_id) as (
    (select client_id from order_ledger order by client_id limit 1)
    union all
    select (select l.client_id from order_ledger l where l.client_id > c.client_id order by l.client_id limit 1)
    from client c where c.client_id is not null
)
select client_id from client where client_id is not null limit %(limit)s::integer;

-- name: get_journal
-- The journal of one order. An order without entries gives one row of nulls, one that does not exist gives none.
select j.order_ledger_id, j.seq, j.at, j.kind, j.step, j.direction, j.round, j.attempt, j.outcome, j.request, j.response,
    j.error, j.duration_ms, j.replica, j.lease_epoch, j.actor, j.reason, encode(j.hash, 'hex') as hash
from order_ledger l left join ledger_journal j using (order_ledger_id)
where l.order_ledger_id = %(order_ledger_id)s and (%(client_id)s::text is null or l.client_id = %(client_id)s::text)
order by j.seq;

-- name: get_snapshot
-- What one order runs on, and its age by the database's clock: what its course is drawn from beside row and journal.
select d.definition_id, d.body, extract(epoch from statement_timestamp() - l.created_at)::float8 as age_s
from order_ledger l join saga_definition d using (definition_id)
where l.order_ledger_id = %(order_ledger_id)s;

-- name: count_replicas
-- Orchestrators that are connected to this ledger now, each under a name of its own.
-- By a function, because sessions of other users show their names only to whom the server trusts with that.
select count_orchestrators() as replicas;

-- name: count_active
-- How many unfinished orders each saga has in each status, and how long ago the oldest of them was recorded.
select saga, status, count(*) as orders,
    greatest(extract(epoch from statement_timestamp() - min(created_at)), 0)::float8 as oldest_s
from order_ledger where finished_at is null group by saga, status;

-- name: count_due
-- How many orders are due and nobody works on, counted no further than a limit, from the index that claims go by.
select count(*)::integer as orders from (select from order_ledger where due_at <= statement_timestamp() limit %(most)s) due;

-- name: statistics
-- What the ledger is doing, as of one moment. What it costs depends on what is unfinished and on `sample`, not on how much the
-- ledger holds: of what ended in the window the newest are looked at, and if there are more of them the window is as long as
-- those reach back. Whatever was tried since then belongs to one of them or to an unfinished order, and is found in their
-- journals by the primary key, one by one: a join would be free to read the whole journal. The numbers of rows are estimates
-- once they are large, because counting would read them all.
with active as materialized (
    select saga, status, step_told(status, step, progress) as step, count(*) as orders, min(created_at) as oldest_at,
        count(paused_at) as paused
    from order_ledger where finished_at is null group by 1, 2, 3
), ended as materialized (
    select order_ledger_id, saga, status, finished_at,
        -- What was taken back when it had completed (it went forward to its end) took no longer for that.
        case when status <> 'CANCELLED' or direction = 'compensation'
             then extract(epoch from finished_at - created_at)::double precision end as seconds
    from order_ledger where finished_at >= statement_timestamp() - make_interval(secs => %(window_s)s)
    order by finished_at desc limit %(sample)s
), reach as materialized (
    select since, greatest(extract(epoch from statement_timestamp() - since), 0.001)::double precision as window_s
    from (select case when count(*) < %(sample)s then statement_timestamp() - make_interval(secs => %(window_s)s)
              else min(finished_at) end as since from ended) began
), started as (
    -- Placed faster than they end, orders of a long time are counted over the time of the newest.
    select count(*) / greatest(extract(epoch from statement_timestamp()
        - case when count(*) < %(sample)s then min(since) else min(created_at) end), 0.001)::double precision as per_s
    from (select created_at, since from reach, lateral (
              select created_at from order_ledger where created_at >= since
              order by created_at desc, order_ledger_id desc limit %(sample)s) newest) placed
), sampled as (
    select order_ledger_id, saga, status from ended
    union all
    (select order_ledger_id, saga, status from order_ledger where finished_at is null
     order by created_at desc, order_ledger_id desc limit %(sample)s)
), attempt as materialized (
    select s.order_ledger_id, s.saga, s.status, j.step, j.direction, j.outcome, j.duration_ms, j.seq
    from reach, sampled s cross join lateral (
        select step, direction, outcome, duration_ms, seq from ledger_journal
        where order_ledger_id = s.order_ledger_id and kind in ('outcome', 'takeover') and step is not null and at >= since
        offset 0) j
), operation as materialized (
    -- What became of each step of each order in each direction: its last attempt says.
    select distinct on (order_ledger_id, step, direction) saga, status, step, direction, outcome
    from attempt order by order_ledger_id, step, direction, seq desc
), step_of as (
    select saga, step, direction, count(*) as attempts, count(*) filter (where outcome = 'succeeded') as succeeded,
        count(*) filter (where outcome = 'rejected') as rejected, count(*) filter (where outcome = 'unknown') as unknown,
        percentile_cont(array[0.5, 0.95, 0.99]) within group (order by duration_ms) as ms
    from attempt group by saga, step, direction
), saga_of as (
    select saga, count(*) as finished, count(*) filter (where status = 'COMPLETED') as completed,
        percentile_cont(array[0.5, 0.95, 0.99]) within group (order by seconds) as s
    from ended group by saga
), failure as (
    -- A cancel was asked for, and what is still tried may yet succeed: neither is a failure.
    select saga, step, direction, outcome, count(*) as orders
    from operation
    where outcome <> 'succeeded' and (direction = 'action' and status in ('FAILED', 'DECLINED', 'COMPENSATING', 'STUCK')
        or status = 'STUCK')
    group by saga, step, direction, outcome
)
select (select case when c.reltuples > 100000 then c.reltuples::bigint else (select count(*) from order_ledger) end
        from pg_class c where c.oid = 'order_ledger'::regclass) as orders,
    coalesce((select jsonb_object_agg(saga, statuses)
              from (select saga, jsonb_object_agg(status, orders) as statuses
                    from (select saga, status, sum(orders)::bigint as orders from active group by saga, status) by_both
                    group by saga) by_saga), '{}') as active,
    coalesce((select jsonb_object_agg(status, orders)
              from (select status, sum(orders)::bigint as orders from active group by status) by_status), '{}') as unfinished,
    coalesce((select jsonb_agg(jsonb_build_object('saga', saga, 'status', status, 'step', step, 'orders', orders,
                  'oldest_age_s', extract(epoch from statement_timestamp() - oldest_at)::double precision)
                               order by orders desc, saga, status, step)
              from active), '[]') as active_at,
    (select extract(epoch from statement_timestamp() - min(oldest_at))::double precision from active)
        as oldest_unfinished_age_s,
    coalesce((select sum(orders)::bigint from active where status = 'STUCK'), 0) as stuck,
    coalesce((select sum(paused)::bigint from active), 0) as paused,
    r.window_s,
    coalesce((select per_s from started), 0) as started_per_s,
    (select count(*) from ended) / r.window_s as finished_per_s,
    coalesce((select jsonb_object_agg(status, orders)
              from (select status, count(*) as orders from ended group by status) by_status), '{}') as finished,
    (select percentile_cont(0.5) within group (order by seconds) from ended) as p50_s,
    (select percentile_cont(0.95) within group (order by seconds) from ended) as p95_s,
    (select percentile_cont(0.99) within group (order by seconds) from ended) as p99_s,
    coalesce((select jsonb_agg(jsonb_build_object('saga', saga, 'finished', finished, 'completed', completed,
                  'p50_s', s[1], 'p95_s', s[2], 'p99_s', s[3]) order by saga)
              from saga_of), '[]') as sagas,
    coalesce((select jsonb_agg(jsonb_build_object('saga', saga, 'step', step, 'direction', direction, 'attempts', attempts,
                  'succeeded', succeeded, 'rejected', rejected, 'unknown', unknown,
                  'succeeded_per_s', succeeded / r.window_s,
                  'p50_ms', ms[1], 'p95_ms', ms[2], 'p99_ms', ms[3]) order by saga, direction, step)
              from step_of), '[]') as steps,
    coalesce((select jsonb_agg(jsonb_build_object('saga', saga, 'step', step, 'direction', direction, 'outcome', outcome,
                  'orders', orders) order by orders desc, saga, step, direction, outcome)
              from failure), '[]') as failure_points,
    (select jsonb_build_object('operations', count(*), 'succeeded', count(*) filter (where outcome = 'succeeded'),
                'success_share', count(*) filter (where outcome = 'succeeded') / nullif(count(*), 0)::double precision)
     from operation where direction = 'compensation') as compensation,
    (select case when c.reltuples > 100000 then c.reltuples::bigint else (select count(*) from outbox) end
     from pg_class c where c.oid = 'outbox'::regclass) as outbox_rows,
    (select count(*) from event_delivery where delivered_at is null and dead_at is null) as outbox_pending
from reach r;

-- name: ping
-- Whether the ledger answers at all.
select 1;
