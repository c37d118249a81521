-- What sagas are configured to be: revisions, the canary among them, and the history of what was done with them.

-- name: list_config
-- What new orders of each saga start on, and the newest entry of its history: what an edge must know to insert one.
select h.saga, max(h.seq) as seq, a.revision, a.body, c.revision as canary_revision, c.body as canary_body, c.canary_percent
from saga_config_history h
    left join saga_config a on a.saga = h.saga and a.state = 'active'
    left join saga_config c on c.saga = h.saga and c.state = 'canary'
where h.saga = any (%(sagas)s)
group by h.saga, a.revision, a.body, c.revision, c.body, c.canary_percent;

-- name: lock_config
-- One act on a saga's configuration at a time, until the end of the transaction; there may be no row yet to lock.
select pg_advisory_xact_lock(hashtext('saga_config'), hashtext(%(saga)s));

-- name: list_revisions
-- The revisions that are or may come to be in use.
select saga, revision, state, body, actor, reason, created_at, canary_percent, canary_failure_rate_max, canary_orders_min,
    canary_from, canary_until, judged_at
from saga_config
where saga = %(saga)s and state in ('active', 'pending', 'canary');

-- name: insert_revision
-- A new pending revision; in the transaction in which the one that was pending before was moved away.
insert into saga_config (saga, revision, state, body, actor, reason)
select %(saga)s, coalesce(max(revision), 0) + 1, 'pending', %(body)s::jsonb, %(actor)s, %(reason)s
from saga_config where saga = %(saga)s
returning revision;

-- name: move_revision
-- What a revision is used for from now on.
update saga_config set state = %(state)s where saga = %(saga)s and revision = %(revision)s;

-- name: try_revision
-- A share of new orders starts on this revision, for a while.
update saga_config set state = 'canary', canary_percent = %(percent)s, canary_failure_rate_max = %(failure_rate_max)s,
    canary_orders_min = %(orders_min)s, canary_from = clock_timestamp(),
    canary_until = clock_timestamp() + make_interval(secs => %(for_s)s)
where saga = %(saga)s and revision = %(revision)s;

-- name: note_act
-- What was done with a revision.
insert into saga_config_history (saga, seq, act, revision, actor, reason, figures)
select %(saga)s, coalesce(max(seq), 0) + 1, %(act)s, %(revision)s, %(actor)s, %(reason)s, %(figures)s::jsonb
from saga_config_history where saga = %(saga)s
returning seq;

-- name: list_history
-- What was done with a saga's configuration, newest first, with what each revision says.
select h.seq, h.at, h.act, h.revision, h.actor, h.reason, h.figures, c.body
from saga_config_history h join saga_config c using (saga, revision)
where h.saga = %(saga)s
order by h.seq desc
limit %(limit)s;

-- name: take_canary
-- A canary that is due to be judged, for one replica: who takes it moves the time on, so that no other judges it meanwhile
-- and another does when this one dies.
update saga_config set judged_at = clock_timestamp()
where (saga, revision) = (
    select c.saga, c.revision from saga_config c
    where c.state = 'canary' and c.saga = any (%(sagas)s)
        and (c.judged_at is null or c.judged_at < clock_timestamp() - make_interval(secs => %(every_s)s)
            or c.judged_at < c.canary_until and c.canary_until <= clock_timestamp())
    order by c.judged_at nulls first
    limit 1
    for update skip locked)
returning saga, revision, body, canary_percent, canary_failure_rate_max, canary_orders_min, canary_from, canary_until,
    clock_timestamp() >= canary_until as is_over;

-- name: count_share
-- How the orders of a canary went so far, beside the other new orders of its saga.
select count(*) filter (where s.is_share) as started,
    count(*) filter (where s.is_share and s.has_ended) as ended,
    count(*) filter (where s.is_share and s.has_failed) as failed,
    count(*) filter (where not s.is_share and s.has_ended) as others_ended,
    count(*) filter (where not s.is_share and s.has_failed) as others_failed
from (
    select coalesce((d.body ->> 'config')::integer = %(revision)s, false) as is_share,
        l.finished_at is not null or l.status = 'STUCK' as has_ended, l.status in ('FAILED', 'STUCK') as has_failed
    from order_ledger l join saga_definition d using (definition_id)
    where l.saga = %(saga)s and l.created_at >= %(since)s
) s;

-- name: list_share
-- Which of these orders are of a canary's share.
select l.order_ledger_id
from order_ledger l join saga_definition d using (definition_id)
where l.order_ledger_id = any (%(order_ledger_ids)s) and l.saga = %(saga)s and (d.body ->> 'config')::integer = %(revision)s;

-- name: count_unfinished
-- What is still on a version of a saga, by status; reads what is unfinished only.
select l.status, count(*) as orders, min(l.created_at) as oldest_at,
    (array_agg(l.order_ledger_id order by l.created_at))[1] as oldest
from order_ledger l
where l.finished_at is null and l.saga = %(saga)s and l.saga_version = %(version)s
group by l.status
order by l.status;
