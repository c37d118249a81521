-- Retries of many orders at once. A run has a set of orders, chosen once; who retries one of them holds its row of the set
-- until the retry is committed with it, so that any number of people may go on with a run at once.

-- name: insert_run
-- A run without orders yet.
insert into retry_run (actor, reason, asked) values (%(actor)s, %(reason)s, %(asked)s::jsonb) returning run_id;

-- name: choose_orders
-- The set of a run, the oldest first. Of what failed only the last attempt: an order that was placed anew stands for the one
-- before it. `halted` repeats STUCK in the words of the index on such orders.
insert into retry_run_order (run_id, order_ledger_id, position, status, forward, step, last_error, total_minor, currency)
select %(run_id)s, order_ledger_id, row_number() over (order by created_at, order_ledger_id), status,
    status = 'FAILED' or direction = 'action', step, last_error, total_minor, currency
from (select l.order_ledger_id, l.created_at, l.status, l.direction, step_told(l.status, l.step, l.progress) as step,
          l.last_error, l.total_minor, l.currency
      from order_ledger l
      where l.status = %(status)s
          and (not %(halted)s::boolean or (l.finished_at is null and l.due_at is null))
          and (%(saga)s::text is null or l.saga = %(saga)s::text)
          and (%(error_like)s::text is null or strpos(lower(l.last_error), lower(%(error_like)s::text)) > 0)
          and (l.status <> 'FAILED' or not exists (
              select from order_ledger c
              where c.parent_id = l.order_ledger_id and c.client_request_id ~ '^retry:[0-9]+:'))
      order by l.created_at, l.order_ledger_id
      limit %(limit)s) chosen;

-- name: sum_up_set
-- What the orders of a run are worth, by currency, and why they stand where they do, the commonest first.
select 'value' as what, currency as of, null as step, count(*) as orders, sum(total_minor)::bigint as total_minor
from retry_run_order where run_id = %(run_id)s and currency is not null group by currency
union all
(select 'reason', last_error, step, count(*), null::bigint from retry_run_order where run_id = %(run_id)s
 group by last_error, step order by count(*) desc, step, last_error limit %(reasons_max)s)
order by what desc, orders desc, step, of;

-- name: list_left_elsewhere
-- Orders that a run still has to retry and others have too, by these.
select o.run_id, count(*) as orders
from retry_run_order o join retry_run_order r on r.order_ledger_id = o.order_ledger_id
where r.run_id = %(run_id)s and r.tried_at is null and o.run_id <> r.run_id and o.tried_at is null
group by o.run_id order by o.run_id;

-- name: list_first
-- The orders of a run that come first.
select order_ledger_id from retry_run_order where run_id = %(run_id)s order by position limit %(limit)s;

-- name: take_next
-- The next order of a run that nobody else is at, until the end of the transaction.
select order_ledger_id, status from retry_run_order
where run_id = %(run_id)s and tried_at is null
order by position limit 1
for update skip locked;

-- name: lock_order
-- How an order stands, and that it stands so until the end of the transaction.
select status from order_ledger where order_ledger_id = %(order_ledger_id)s for update;

-- name: note_tried
-- What came of it, in the transaction of the retry itself.
update retry_run_order set tried_at = clock_timestamp(), goes_on_as = %(goes_on_as)s, refused = %(refused)s
where run_id = %(run_id)s and order_ledger_id = %(order_ledger_id)s;

-- name: note_ended
-- Which orders of a run, or of all, have ended since the last look, or are STUCK again. What another looks at is left to him.
with ended as materialized (
    select r.run_id, r.order_ledger_id, coalesce(l.status, p.status) as status
    from retry_run_order r
        left join order_ledger l on l.order_ledger_id = r.goes_on_as
        left join purged_order p on p.order_ledger_id = r.goes_on_as
    where (%(run_id)s::bigint is null or r.run_id = %(run_id)s::bigint) and r.goes_on_as is not null and r.ended_as is null
        and (l.finished_at is not null or l.status = 'STUCK' or p.status is not null)
    for update of r skip locked
)
update retry_run_order r set ended_as = e.status
from ended e where r.run_id = e.run_id and r.order_ledger_id = e.order_ledger_id;

-- name: list_runs
-- Runs, the newest first, or one of them, with how far each is. The last three count only what was retried since a moment,
-- or else since the run began.
select r.run_id, r.begun_at, r.actor, r.reason, r.asked, r.stopped_at, r.stopped_why, o.*,
    coalesce((select jsonb_object_agg(ended_as, orders)
              from (select ended_as, count(*) as orders from retry_run_order
                    where run_id = r.run_id and ended_as is not null group by ended_as) by_status), '{}') as ended
from (select * from retry_run where %(run_id)s::bigint is null or run_id = %(run_id)s::bigint
      order by run_id desc limit %(limit)s) r
    cross join lateral (
        select count(*) as orders, count(*) filter (where tried_at is null) as outstanding,
            count(goes_on_as) as retried, count(refused) as refused, count(*) filter (where went_wrong) as went_wrong,
            count(goes_on_as) filter (where tried_at >= coalesce(%(since)s::timestamptz, r.begun_at)) as retried_since,
            count(ended_as) filter (where tried_at >= coalesce(%(since)s::timestamptz, r.begun_at)) as ended_since,
            count(*) filter (where went_wrong and tried_at >= coalesce(%(since)s::timestamptz, r.begun_at)) as wrong_since
        from retry_run_order where run_id = r.run_id) o
order by r.run_id desc;

-- name: list_set
-- The orders of a run, with what came of each.
select position, order_ledger_id, status, forward, step, last_error, total_minor, currency, tried_at, goes_on_as, refused,
    ended_as, went_wrong
from retry_run_order where run_id = %(run_id)s order by position;

-- name: stop_run
-- Everybody who goes on with the run sees it, and stops.
update retry_run set stopped_at = clock_timestamp(), stopped_why = %(why)s where run_id = %(run_id)s;

-- name: resume_run
-- It goes on; when, by the clock that all of this goes by.
update retry_run set stopped_at = null, stopped_why = null where run_id = %(run_id)s returning clock_timestamp() as at;

-- name: forget_retried
-- Removes which orders were in runs that began so many days ago; how many it removed.
select forget_retried(make_interval(secs => %(older_than_days)s * 86400.0), %(orders_max)s) as orders;
