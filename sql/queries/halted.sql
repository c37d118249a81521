-- What needs a person: orders that are STUCK, and those that an operator has on hold. Nothing happens to them by itself, so
-- they are in an index of their own, which is empty on most days.

-- name: sum_halted
-- How much there is of it and why, of the oldest so many. Numbers and ids in a reason are passed over, or each order would have
-- a reason of its own. Sums are texts: they may be greater than any whole number that a reader of JSON keeps.
with looked as materialized (
    select saga, step_told(status, step, progress) as step, currency, total_minor, coalesce(paused_at, updated_at) as since,
        case when paused_at is not null then 'on hold' else 'STUCK' end as state,
        case when paused_at is null then regexp_replace(left(coalesce(last_error, ''), 200),
            '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+', '…', 'g') end as reason
    from order_ledger where finished_at is null and due_at is null
    order by created_at, order_ledger_id
    limit %(look_max)s::integer
)
select (select count(*) from looked) as looked_at,
    (select count(*) < %(look_max)s::integer from looked) as complete,
    coalesce((select jsonb_agg(jsonb_build_object('currency', currency, 'orders', orders, 'total_minor', total_minor)
                               order by orders desc, currency)
              from (select currency, count(*) as orders, sum(total_minor)::text as total_minor
                    from looked group by currency) by_currency), '[]') as totals,
    coalesce((select jsonb_agg(jsonb_build_object('saga', saga, 'state', state, 'step', step, 'reason', reason,
                  'currency', currency, 'orders', orders, 'total_minor', total_minor, 'since', since)
                               order by orders desc, saga, step, reason, currency)
              from (select saga, state, step, reason, currency, count(*) as orders, sum(total_minor)::text as total_minor,
                        min(since) as since
                    from looked group by saga, state, step, reason, currency
                    order by count(*) desc, saga, step, reason, currency limit %(groups_max)s::integer) by_reason), '[]') as groups;

-- name: list_stuck
-- Orders that are STUCK, the oldest first, after a position; the columns are those of `list_orders`.
select order_ledger_id, client_id, client_request_id, saga, saga_version, status, step_told(status, step, progress) as step,
    direction, retry_count, next_retry_at, last_error, customer_id, currency, total_minor, metadata, correlation_id, parent_id,
    paused_at, deadline_at, created_at, updated_at, finished_at
from order_ledger
where finished_at is null and due_at is null and status = 'STUCK'
    and (%(saga)s::text is null or saga = %(saga)s::text)
    and (%(customer_id)s::text is null or customer_id = %(customer_id)s::text)
    and (%(error)s::text is null or strpos(lower(last_error), lower(%(error)s::text)) > 0)
    and (%(since)s::timestamptz is null or created_at >= %(since)s::timestamptz)
    and (%(after_at)s::timestamptz is null or (created_at, order_ledger_id) > (%(after_at)s::timestamptz, %(after_id)s::uuid))
order by created_at, order_ledger_id
limit %(limit)s;

-- name: list_halted
-- Of the oldest so many, those that have waited longest for a person, or those worth most of each currency. Of what is on
-- hold, who said so and why stands in the journal.
with looked as materialized (
    select order_ledger_id, saga, status, step_told(status, step, progress) as step, direction, last_error, currency, total_minor, customer_id, client_id,
        client_request_id, paused_at, created_at, coalesce(paused_at, updated_at) as since
    from order_ledger where finished_at is null and due_at is null
    order by created_at, order_ledger_id
    limit %(look_max)s::integer
), shown as materialized (
    select * from looked
    order by case when %(by_value)s::boolean then currency end, case when %(by_value)s::boolean then -total_minor end,
        since, order_ledger_id
    limit %(limit)s::integer
)
select s.*, j.actor, j.reason,
    (select max(d.delivered_at) from event_delivery d join event_subscription c using (subscription_id)
     where d.order_ledger_id = s.order_ledger_id and c.channel is not null) as notified_at
from shown s left join lateral (
    select actor, reason from ledger_journal
    where order_ledger_id = s.order_ledger_id and kind = 'operator' and s.paused_at is not null
    order by seq desc limit 1) j on true
order by case when %(by_value)s::boolean then s.currency end, case when %(by_value)s::boolean then -s.total_minor end,
    s.since, s.order_ledger_id;
