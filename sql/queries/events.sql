-- The feed of domain events: what was written to the outbox, each event once, in an order that never changes.
--
-- The order is (transaction_id, ordinal). A transaction gets its id with its first write and commits whenever it likes, so
-- an event may become visible after one that stands behind it. Hence only events below the snapshot's xmin are shown: every
-- transaction with a lower id has ended, and nothing can appear among them any more. A transaction that has written and
-- stays open, in whatever database of the server, holds the feed back; nothing is lost by that.

-- name: read_feed
-- A page after a position. At most so many events are looked at, whoever they belong to, so a page costs the same however
-- many events of other clients lie between; the row says how far was looked. The client is found by a subquery, which is
-- always one look by primary key, whatever the planner believes of the tables.
-- `gone` tells that one can't go on from the position. 'removed': events behind it were removed since its reader began.
-- 'foreign': it is none of this database's, as after a restored backup or a lost failover; either its transaction is still
-- to come, or the event that it names does not stand there, though nothing that far was ever removed.
-- Gives one row at least; without an event in it where there is none.
with removed as materialized (
    select transaction_id, ordinal from outbox_removed
), scanned as materialized (
    select o.id, o.aggregateid as order_ledger_id, o.type, o.payload, o.correlation_id, o.seq, o.created_at,
        o.transaction_id, o.ordinal,
        (select l.client_id from order_ledger l where l.order_ledger_id = o.aggregateid) as client_id
    from outbox o
    where (o.transaction_id, o.ordinal) > (%(transaction_id)s::xid8, %(ordinal)s::bigint)
        and o.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    order by o.transaction_id, o.ordinal
    limit %(scan_max)s::bigint
), page as (
    select * from scanned
    where %(client_id)s::text is null or client_id = %(client_id)s::text
    order by transaction_id, ordinal
    limit %(limit)s::bigint
), reached as (
    select transaction_id, ordinal, id, count(*) over () as scanned
    from scanned order by scanned.transaction_id desc, scanned.ordinal desc limit 1
)
select case
        when %(transaction_id)s::xid8 >= pg_snapshot_xmin(pg_current_snapshot()) then 'foreign'
        when (r.transaction_id, r.ordinal) > (%(transaction_id)s::xid8, %(ordinal)s::bigint)
            then case when (r.transaction_id, r.ordinal) > (%(removed_transaction_id)s::xid8, %(removed_ordinal)s::bigint)
                      then 'removed' end
        when (%(transaction_id)s::xid8, %(ordinal)s::bigint) > (r.transaction_id, r.ordinal)
            and not exists (select from outbox o where o.transaction_id = %(transaction_id)s::xid8
                                and o.ordinal = %(ordinal)s::bigint and o.id = %(event_id)s::uuid)
            then 'foreign' end as gone,
    r.transaction_id::text as removed_transaction_id, r.ordinal as removed_ordinal,
    e.transaction_id::text as reached_transaction_id, e.ordinal as reached_ordinal, e.id as reached_id,
    coalesce(e.scanned, 0) as scanned,
    p.id, p.order_ledger_id, p.type, p.payload, p.correlation_id, p.seq, p.created_at, p.client_id,
    p.transaction_id::text as transaction_id, p.ordinal
from removed r left join reached e on true left join page p on true
order by p.transaction_id, p.ordinal;

-- name: find_before_last
-- The event before the last so many, for a reader who wants to see only these; nulls when there are no more than that.
select r.transaction_id::text as removed_transaction_id, r.ordinal as removed_ordinal,
    o.transaction_id::text as transaction_id, o.ordinal, o.id
from outbox_removed r left join lateral (
    select * from outbox
    where outbox.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    order by outbox.transaction_id desc, outbox.ordinal desc
    offset %(events)s::bigint limit 1) o on true;

-- name: find_event
-- Where an event stands in the feed. There is no index by id alone, so it reads the outbox: for people, who ask it seldom.
select r.transaction_id::text as removed_transaction_id, r.ordinal as removed_ordinal,
    o.transaction_id::text as transaction_id, o.ordinal, o.id
from outbox o cross join outbox_removed r
where o.id = %(event_id)s and o.transaction_id < pg_snapshot_xmin(pg_current_snapshot());
