-- What replaying a journal through the core reads of the ledger, and what traces tell of it.

-- name: page_histories
-- Orders with all that was decided on them, in the order of their ids: one of them, or a page. A statement sees one moment,
-- so row and journal of an order that is on its way agree. Nothing of what was ordered, asked or answered is in it.
select jsonb_build_object('order_ledger_id', l.order_ledger_id, 'definition_id', l.definition_id, 'definition', d.body,
    'status', l.status, 'step', l.step, 'direction', l.direction, 'retry_count', l.retry_count, 'progress', l.progress,
    'results', (select coalesce(jsonb_agg(k order by k), '[]') from jsonb_object_keys(l.results) k), 'lapses', l.lapses,
    'lease_epoch', l.lease_epoch, 'last_seq', l.last_seq,
    'journal', (select coalesce(jsonb_agg(jsonb_build_object('seq', j.seq, 'kind', j.kind, 'step', j.step,
                                              'direction', j.direction, 'round', j.round, 'attempt', j.attempt,
                                              'outcome', j.outcome, 'error', j.error, 'lease_epoch', j.lease_epoch,
                                              'actor', j.actor, 'reason', j.reason) order by j.seq), '[]')
                from ledger_journal j where j.order_ledger_id = l.order_ledger_id)) as history
from order_ledger l join saga_definition d using (definition_id)
where (%(order_ledger_id)s::uuid is null or l.order_ledger_id = %(order_ledger_id)s::uuid)
    and (%(after)s::uuid is null or l.order_ledger_id > %(after)s::uuid)
order by l.order_ledger_id
limit %(limit)s;

-- name: list_courses
-- What traces tell of orders: when each thing was decided of them, by whom and how it ended. No word that anybody wrote is
-- in it: nothing of what was ordered, asked or answered, no reason and no name.
select l.order_ledger_id, l.saga, l.traceparent, l.parent_id,
    (extract(epoch from l.created_at) * 1000000000)::bigint as created_ns,
    j.seq, (extract(epoch from j.at) * 1000000000)::bigint as at_ns, j.kind, j.step, j.direction, j.round, j.attempt,
    j.outcome, j.replica, j.lease_epoch
from unnest(%(order_ledger_ids)s::uuid[]) as k(order_ledger_id)
    join order_ledger l using (order_ledger_id) join ledger_journal j using (order_ledger_id)
order by l.order_ledger_id, j.seq;
