-- What changed lately: entries of every order's journal in one order that never changes, and how far the journals of some have come.
--
-- The journal has no sequence of its own over all orders, and whoever writes it pays for none. What orders its entries is the
-- transaction that wrote them, which PostgreSQL keeps in every row (xmin); here it is the whole id, of 64 bits, which the 32 of the
-- row and the snapshot give. As with the feed of events only transactions below the snapshot's xmin are shown: each of them has
-- ended, and nothing can appear among them any more. A row's 32 bits outlive its freezing.
--
-- What is looked for has no index, so entries are found by their time, which has one that costs next to nothing. That nothing is
-- missed by it: see `sql.changes.Bookmark`. An order that was recorded without any call has no entry yet; its event stands for one.

-- name: find_end
-- Where the newest changes end: nothing below `horizon` can still appear, and `newest` is the next id that a transaction gets. That
-- is not the snapshot's xmax, which follows the last one that has ended; age() counts from it, in 32 bits. The time is that at which
-- the statement came, before any of the others.
select statement_timestamp() as at, pg_snapshot_xmin(s)::text::bigint as horizon,
    x + ((age('3'::xid) + 3::bigint - x) & 4294967295) as newest
from pg_current_snapshot() s, lateral (select pg_snapshot_xmax(s)::text::bigint as x) xmax;

-- name: find_place
-- What was told before a transaction and after it, for looking from there on. Events have the ids of their transactions in an
-- index, and times: no entry of that transaction or a later one bears a time much before all of these. `behind`: how many
-- events there are after it, counted no further than a limit.
select b.behind, e.created_at as before, least(e.created_at, b.created_at) as since
from (select count(*) as behind, min(created_at) as created_at
      from (select created_at from outbox where transaction_id > %(transaction_id)s::xid8
            order by transaction_id, ordinal limit %(behind_max)s) later) b
    left join (select created_at from outbox where transaction_id <= %(transaction_id)s::xid8
               order by transaction_id desc, ordinal desc limit 1) e on true;

-- name: list_changes
-- What was appended by transactions from one on, as far as they have all ended: whose journal, and where in it; 0 for an order
-- that was recorded without an entry. `holds` is false where the entry that the reader saw last is not there any more. Where
-- nothing has ended since the last look, nothing is looked at. Gives one row at least.
with moment as materialized (
    select statement_timestamp() as at, pg_snapshot_xmin(s)::text::bigint as horizon,
        x + ((age('3'::xid) + 3::bigint - x) & 4294967295) as newest,
        %(last_order)s::uuid is null or exists (select from ledger_journal j where j.order_ledger_id = %(last_order)s::uuid
            and j.seq = %(last_seq)s::integer and j.at = %(last_at)s::timestamptz) as holds
    from pg_current_snapshot() s, lateral (select pg_snapshot_xmax(s)::text::bigint as x) xmax
), appended as (
    select j.order_ledger_id, j.seq, j.at,
        m.newest - ((m.newest - j.xmin::text::bigint) & 4294967295) as transaction_id
    from moment m, ledger_journal j
    where j.at >= least(%(since)s::timestamptz, statement_timestamp()) - make_interval(secs => %(late_s)s)
        and %(transaction_id)s::xid8 < pg_snapshot_xmin(pg_current_snapshot())
    union all
    select o.aggregateid, 0, o.created_at, o.transaction_id::text::bigint
    from outbox o
    where o.transaction_id >= %(transaction_id)s::xid8 and o.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        and o.type = 'OrderReceived' and o.seq = 0
), page as (
    select a.* from appended a, moment m
    where a.transaction_id >= %(transaction_id)s::text::bigint and a.transaction_id < m.horizon
    order by a.transaction_id, a.order_ledger_id, a.seq
    limit %(limit)s::bigint
)
select m.at as now, m.horizon, m.newest, m.holds, p.order_ledger_id, p.seq, p.at, p.transaction_id
from moment m left join page p on true
order by p.transaction_id, p.order_ledger_id, p.seq;

-- name: find_order
-- How far an order's journal has come, and whether the order has ended; nothing where there is none that this client may see.
select last_seq, finished_at is not null as ended from order_ledger
where order_ledger_id = %(order_ledger_id)s and (%(client_id)s::text is null or client_id = %(client_id)s::text);

-- name: list_reached
-- The same of some orders, in the order in which they are given; nulls for one that was removed. `bare`: of one that is read from
-- its beginning, whether it was recorded without an entry.
select l.last_seq, l.ended, w.after < 0 and exists (select from outbox o where o.aggregateid = w.order_ledger_id
    and o.type = 'OrderReceived' and o.seq = 0) as bare
from unnest(%(order_ledger_ids)s::uuid[], %(afters)s::integer[]) with ordinality as w(order_ledger_id, after, n)
    left join lateral (select o.last_seq, o.finished_at is not null as ended from order_ledger o
                       where o.order_ledger_id = w.order_ledger_id offset 0) l on true
order by w.n;

-- name: list_entries
-- Entries by order and position, with what it takes to say what each of them changed: the order's status after the first of them,
-- from which the others' follow, and of an attempt that did not succeed what its step's definition says and how many attempts
-- counted for nothing. Each is found by the primary key, one by one: a join would be free to read the whole journal.
select k.order_ledger_id, k.seq, coalesce(j.at, l.created_at) as at, l.saga, j.kind, j.step, j.direction, j.attempt, j.outcome,
    case when k.n = min(k.n) over (partition by k.order_ledger_id) then coalesce((select s.outcome from ledger_journal s
              where s.order_ledger_id = k.order_ledger_id and s.kind = 'status' and s.seq <= k.seq
              order by s.seq desc limit 1),
             (select o.payload ->> 'status' from outbox o
              where o.aggregateid = k.order_ledger_id and o.type = 'OrderReceived' limit 1)) end as status,
    coalesce(d.optional, false) as optional, coalesce(d.probed, false) as probed, d.attempts_max,
    case when j.kind = 'outcome' and j.outcome = 'unknown' then
        (select count(*) from ledger_journal s
         where s.order_ledger_id = k.order_ledger_id and s.seq <= k.seq and s.step = j.step and s.direction = j.direction
             and s.round = j.round and (s.kind = 'takeover' or s.kind = 'outcome' and s.reason is not null)) end as spared
from unnest(%(order_ledger_ids)s::uuid[], %(seqs)s::integer[]) with ordinality as k(order_ledger_id, seq, n)
    cross join lateral (select o.created_at, o.definition_id, o.saga from order_ledger o
                        where o.order_ledger_id = k.order_ledger_id offset 0) l
    left join lateral (select e.at, e.kind, e.step, e.direction, e.round, e.attempt, e.outcome from ledger_journal e
                       where e.order_ledger_id = k.order_ledger_id and e.seq = k.seq offset 0) j on true
    left join lateral (select (s ->> 'optional')::boolean as optional, (s ->> 'probed')::boolean as probed,
                           (s -> 'retry' ->> 'attempts_max')::integer as attempts_max
                       from saga_definition f, jsonb_array_elements(f.body -> 'steps') s
                       where j.kind = 'outcome' and j.outcome <> 'succeeded' and f.definition_id = l.definition_id
                           and s ->> 'name' = j.step) d on true
where k.seq = 0 or j.kind is not null
order by k.n;
