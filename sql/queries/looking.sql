-- What people ask of one order by hand, with psql: the page shows these with the order's id put in. Nothing here changes a row,
-- and the program runs none of them.

-- name: look_at_row
-- Where it stands, who holds it, when it is due; without what is frozen for repeats of its request.
select order_ledger_id, client_id, client_request_id, saga, saga_version, definition_id, status, step, direction, retry_count,
    next_retry_at, last_error, customer_id, currency, total_minor, results, progress, metadata, correlation_id, parent_id,
    paused_at, last_seq, lapses, lease_owner, lease_epoch, lease_expires_at, deadline_at, created_at, updated_at, finished_at
from order_ledger
where order_ledger_id = %(order_ledger_id)s;

-- name: look_at_journal
-- All that was intended, answered, taken over and asked for, in order.
select seq, at, kind, step, direction, round, attempt, outcome, duration_ms, error, actor, reason, replica, lease_epoch, request,
    response
from ledger_journal
where order_ledger_id = %(order_ledger_id)s
order by seq;

-- name: look_at_events
-- What was told of it, and to which webhooks it was delivered.
select o.seq, o.type, o.created_at, s.name as webhook, d.attempts, d.delivered_at, d.dead_at, d.error, o.payload
from outbox o
    left join event_delivery d on d.order_ledger_id = o.aggregateid and d.event_id = o.id
    left join event_subscription s using (subscription_id)
where o.aggregateid = %(order_ledger_id)s
order by o.transaction_id, o.ordinal;

-- name: look_at_definition
-- What it runs on to its end.
select d.saga, d.version, d.fingerprint, d.created_at, jsonb_pretty(d.body) as body
from saga_definition d
where d.definition_id = (select definition_id from order_ledger where order_ledger_id = %(order_ledger_id)s);
