-- What the comparison of the ledger with the participants' logs of effects reads of the ledger.

-- name: limit_query
-- Bounds every statement of the transaction; an audit must not hold up a ledger at work.
select set_config('statement_timeout', %(timeout_ms)s::text, true);

-- name: page_finished
-- Finished orders in the order of their ids, with what their end has to have left at the participants, and with what was begun
-- on them, which acts on them: their payment, their cancellation. `family` changes with every entry in a journal of those.
-- Nothing personal is read: an auditor may not, and erased data would leave orders unaudited.
select l.order_ledger_id, l.saga, l.saga_version, l.status, l.input,
    array(select jsonb_object_keys(l.results)) as steps_done, coalesce(b.begun, '[]') as begun, coalesce(b.family, '') as family
from order_ledger l left join lateral (
        select jsonb_agg(jsonb_build_object('order_ledger_id', c.order_ledger_id, 'saga', c.saga, 'saga_version', c.saga_version,
                'status', c.status, 'input', c.input,
                'steps_done', (select coalesce(jsonb_agg(k), '[]') from jsonb_object_keys(c.results) k))) as begun,
            string_agg(c.order_ledger_id || ':' || c.last_seq, ' ' order by c.order_ledger_id) as family
        from order_ledger c
        where c.parent_id = l.order_ledger_id) b on true
where l.finished_at is not null and (%(after)s::uuid is null or l.order_ledger_id > %(after)s)
order by l.order_ledger_id
limit %(limit)s;

-- name: list_statuses
-- Where these orders stand now, or stood when they were purged; one that the ledger never knew is missing from the answer.
select order_ledger_id, status from order_ledger where order_ledger_id = any (%(order_ledger_ids)s)
union all
select order_ledger_id, status from purged_order where order_ledger_id = any (%(order_ledger_ids)s);

-- name: list_families
-- What was begun on these orders, in the words of `page_finished`; one on which nothing was begun is missing from the answer.
select parent_id, string_agg(order_ledger_id || ':' || last_seq, ' ' order by order_ledger_id) as family
from order_ledger where parent_id = any (%(order_ledger_ids)s)
group by parent_id;

-- name: list_parents
-- Which orders these are about, or were when they were purged; one that is about no other is missing from the answer.
select order_ledger_id, parent_id from order_ledger
where order_ledger_id = any (%(order_ledger_ids)s) and parent_id is not null
union all
select order_ledger_id, parent_id from purged_order
where order_ledger_id = any (%(order_ledger_ids)s) and parent_id is not null;

-- name: list_worth
-- What these orders run and are worth; one that the ledger does not have, or no longer, is missing from the answer.
select order_ledger_id, saga, currency, total_minor from order_ledger where order_ledger_id = any (%(order_ledger_ids)s);
