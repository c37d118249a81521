-- What the comparison of the ledger with the participants' logs of effects reads of the ledger.

-- name: limit_query
-- Bounds every statement of the transaction; an audit must not hold up a ledger at work.
select set_config('statement_timeout', %(timeout_ms)s::text, true);

-- name: page_finished
-- Finished orders in the order of their ids, with what their end has to have left at the participants.
select l.order_ledger_id, l.saga, l.saga_version, l.status, l.input, coalesce(p.data, '{}') as personal,
    array(select jsonb_object_keys(l.results)) as steps_done
from order_ledger l left join order_personal p using (order_ledger_id)
where l.finished_at is not null and (%(after)s::uuid is null or l.order_ledger_id > %(after)s)
order by l.order_ledger_id
limit %(limit)s;

-- name: list_statuses
-- Where these orders stand now, or stood when they were purged; one that the ledger never knew is missing from the answer.
select order_ledger_id, status from order_ledger where order_ledger_id = any (%(order_ledger_ids)s)
union all
select order_ledger_id, status from purged_order where order_ledger_id = any (%(order_ledger_ids)s);
