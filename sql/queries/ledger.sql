-- The orchestrators' and the edge's own statements: insert, claim, write, renew, release.

-- name: insert_order
-- A new row with its items, personal data, first journal entries and events, or nothing when the key was used before,
-- also by an order that was purged since, or when the saga was configured anew since its definition was chosen.
-- One statement, so that none of it can stand alone. Returns the row's time of creation.
with given as (
    select g.*, clock_timestamp() as at from jsonb_to_record(%(order)s::jsonb) as g(order_ledger_id uuid, client_id text, client_request_id text,
        request_hash text, saga text, saga_version integer, definition_id uuid, status text, step text, progress jsonb,
        input jsonb, personal jsonb, items jsonb, customer_id text, currency text, total_minor bigint, metadata jsonb,
        correlation_id text, traceparent text, parent_id uuid, deadline_s double precision, lease_owner text,
        lease_s double precision, entries jsonb, events jsonb,
        config_seq integer)
), sealed as materialized (
    select journal_seal(null, g.order_ledger_id, 0, g.at, coalesce(g.lease_owner, 'edge'), 1, g.entries) as hash
    from given g where g.entries <> '[]'
), inserted as (
    insert into order_ledger (order_ledger_id, client_id, client_request_id, request_hash, saga, saga_version,
        definition_id, status, step, customer_id, currency, total_minor, input, progress, metadata, correlation_id,
        traceparent, parent_id, deadline_at, last_seq, chain_head, lease_owner, lease_epoch, lease_expires_at, unbegun_epoch,
        created_at)
    select g.order_ledger_id, g.client_id, g.client_request_id, decode(g.request_hash, 'base64'), g.saga, g.saga_version,
        g.definition_id, g.status, g.step, g.customer_id, g.currency, g.total_minor, g.input, g.progress, g.metadata,
        g.correlation_id, g.traceparent, g.parent_id, clock_timestamp() + make_interval(secs => g.deadline_s),
        jsonb_array_length(g.entries),
        (select hash from sealed), g.lease_owner, 1,
        clock_timestamp() + make_interval(secs => g.lease_s),
        case when g.lease_owner is null and g.status in ('RECEIVED', 'PENDING') then 1 end, g.at
    from given g
    where not exists (select from purged_order p where p.order_ledger_id = g.order_ledger_id)
        and g.config_seq is not distinct from (select max(seq) from saga_config_history where saga = g.saga)
    on conflict do nothing
    returning order_ledger_id, created_at
), personal as (
    insert into order_personal (order_ledger_id, data)
    select i.order_ledger_id, g.personal from inserted i, given g where g.personal <> '{}'
), items as (
    insert into order_ledger_items (order_ledger_id, line, sku, quantity, unit_price_minor, description)
    select i.order_ledger_id, x.line, x.sku, x.quantity, x.unit_price_minor, x.description
    from inserted i, given g cross join rows from (jsonb_to_recordset(g.items) as
        (sku text, quantity integer, unit_price_minor bigint, description text))
        with ordinality as x(sku, quantity, unit_price_minor, description, line)
), journal as (
    insert into ledger_journal (order_ledger_id, seq, at, kind, step, direction, round, attempt, outcome, request,
        response, error, duration_ms, replica, lease_epoch, actor, reason, hash)
    select i.order_ledger_id, e.seq, g.at, e.kind, e.step, e.direction, coalesce(e.round, 1), e.attempt, e.outcome, e.request,
        e.response, e.error, e.duration_ms, coalesce(g.lease_owner, 'edge'), 1, e.actor, e.reason,
        case when e.seq = jsonb_array_length(g.entries) then s.hash else '' end
    from inserted i, sealed s, given g cross join rows from (jsonb_to_recordset(g.entries) as (kind text, step text,
        direction text, round integer, attempt integer, outcome text, request jsonb, response jsonb, error text,
        duration_ms double precision, actor text, reason text))
        with ordinality as e(kind, step, direction, round, attempt, outcome, request, response, error, duration_ms, actor,
        reason, seq)
), events as (
    insert into outbox (aggregateid, type, payload, correlation_id, seq)
    select i.order_ledger_id, x.type, x.payload, g.correlation_id, jsonb_array_length(g.entries)
    from inserted i, given g cross join rows from (jsonb_to_recordset(g.events) as (type text, payload jsonb))
        with ordinality as x(type, payload, n)
    order by x.n
)
select created_at from inserted;

-- name: claim_due
-- Takes due rows for one replica: epoch and lease in the same statement, rows that another looks at are skipped. A row
-- whose lease ran out counts a lapse here, before any work, so that one that kills its owner is found out. One whose lease
-- runs out for the second time in a row is suspect, and few of those are taken at once: what an owner dies of takes
-- everything with it that the owner holds, which must not be called the culprit as well. (Both limits are plain numbers, or
-- the planner would read everything that is due.) While nothing new may begin, only what has begun is taken, and found in an
-- index of its own beside however much waits. That is also what an operator retried, though it is PENDING once more (its round
-- is compared as jsonb, which no damaged row makes fail). Of `sound` and `begun` one is read, as the parameter says.
-- statement_timestamp() because a volatile clock can't bound an index scan; the lease starts at clock_timestamp().
-- Returns the claimed rows and, on every row (one at least), how long until the next row is due.
with own as materialized (
    select array(select d.definition_id from saga_definition d where d.fingerprint = any (%(fingerprints)s)) as ids
), suspect as materialized (
    select l.order_ledger_id, l.lease_expires_at, l.due_at
    from order_ledger l
    where l.due_at <= statement_timestamp() and l.lapses > 0 and l.lease_expires_at is not null
        and (not %(begun)s or l.status not in ('RECEIVED', 'PENDING') or l.progress -> 'round' > '1')
        and l.definition_id = any (array(select unnest(ids) from own))
    order by l.due_at
    limit %(suspects)s
    for update of l skip locked
), sound as materialized (
    select l.order_ledger_id, l.lease_expires_at, l.due_at
    from order_ledger l
    where not %(begun)s and l.due_at <= statement_timestamp() and (l.lapses = 0 or l.lease_expires_at is null)
        and l.definition_id = any (array(select unnest(ids) from own))
    order by l.due_at
    limit %(limit)s
    for update of l skip locked
), begun as materialized (
    select l.order_ledger_id, l.lease_expires_at, l.due_at
    from order_ledger l
    where %(begun)s and l.due_at <= statement_timestamp() and (l.lapses = 0 or l.lease_expires_at is null)
        and l.unbegun_epoch is distinct from l.lease_epoch
        and (l.status not in ('RECEIVED', 'PENDING') or l.progress -> 'round' > '1')
        and l.definition_id = any (array(select unnest(ids) from own))
    order by l.due_at
    limit %(limit)s
    for update of l skip locked
), due as (
    select order_ledger_id, lease_expires_at is not null as lapsed,
        extract(epoch from statement_timestamp() - due_at)::double precision as lag_s
    from (select * from suspect union all select * from sound union all select * from begun) taken
), claimed as (
    update order_ledger l set lease_owner = %(owner)s, lease_epoch = l.lease_epoch + 1,
        lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
        lapses = l.lapses + due.lapsed::integer, updated_at = clock_timestamp()
    from due where l.order_ledger_id = due.order_ledger_id
    returning due.lapsed, due.lag_s,
        extract(epoch from clock_timestamp() - l.created_at)::double precision as age_s,
        extract(epoch from l.deadline_at - clock_timestamp())::double precision as deadline_in_s,
        extract(epoch from clock_timestamp())::double precision as now_s,
        l.order_ledger_id, l.saga, l.definition_id, l.status, l.progress, l.results, l.input, l.correlation_id, l.traceparent,
        l.last_seq, l.lease_owner, l.lease_epoch, l.lapses, l.client_request_id, l.last_error, l.step, l.direction,
        l.retry_count, l.customer_id, l.currency, l.total_minor, l.parent_id
), waiting as (
    select extract(epoch from min(l.due_at) - statement_timestamp())::double precision as next_due_s
    from order_ledger l where l.due_at > statement_timestamp()
)
select w.next_due_s, c.*, coalesce(p.data, '{}') as personal, coalesce(p.results, '{}') as personal_results
from waiting w left join claimed c on true left join order_personal p on p.order_ledger_id = c.order_ledger_id;

-- name: get_rows
-- Rows as a claim would show it, for deciding again after a write found it changed.
select l.order_ledger_id, l.saga, l.definition_id, l.status, l.progress, l.results, l.input,
    l.correlation_id, l.traceparent, l.last_seq, l.lease_owner, l.lease_epoch,
    l.lapses, l.client_request_id, l.last_error, l.step, l.direction, l.retry_count,
    l.customer_id, l.currency, l.total_minor, l.parent_id, coalesce(p.data, '{}') as personal,
    coalesce(p.results, '{}') as personal_results
from order_ledger l left join order_personal p using (order_ledger_id)
where l.order_ledger_id = any (%(order_ledger_ids)s);

-- name: write_transitions
-- Any number of transitions of different rows in one statement, so that they share one commit. Each row is locked in id
-- order (two writers can't wait for each other) and changed only if epoch and journal position are as the writer saw
-- them; what missed is not in the answer and nothing of it is written. A row that somebody else has locked is skipped, so
-- that it holds up no other; its writer sees it unchanged and tries again. What is appended is joined to the rows that were
-- changed: no entry and no event without its order. A row is changed where it was locked (its ctid): one that somebody
-- changed between this statement's snapshot and its lock is not found there, and its writer tries again as well. Entries bear
-- the time at which their row was looked at, before it was locked: whoever claims the row next does so later. The last of
-- those that are written of a row at once bears their hash (`journal_seal`), the others an empty one.
-- One that gives its row back with nothing begun says so (`unbegun_epoch`; else that stays as it is: a step touches no index).
-- Members of a transition that are absent mean null, 0, false, round 1, no results, no entries and no events.
with given as (
    select * from jsonb_to_recordset(%(transitions)s::jsonb) as t(order_ledger_id uuid, lease_epoch bigint,
        last_seq integer, replica text, status text, step text, direction text, retry_count integer, progress jsonb,
        results jsonb, last_error text, keep_lease boolean, delay_s double precision, deadline_s double precision,
        lapses integer, response_status smallint, response_body text, keep_due boolean, entries jsonb,
        events jsonb)
), held as materialized (
    select h.*, case when h.entries is null then h.chain_head else journal_seal(h.chain_head, h.order_ledger_id, h.last_seq,
            h.at, h.replica, h.lease_epoch, h.entries) end as hash,
        coalesce(jsonb_array_length(h.entries), 0) as length
    from (select l.ctid as place, l.chain_head, clock_timestamp() as at, t.*
          from order_ledger l join given t using (order_ledger_id)
          where l.lease_epoch = t.lease_epoch and l.last_seq = t.last_seq
          order by l.order_ledger_id
          for update of l skip locked) h
), updated as (
    update order_ledger l set status = h.status, step = h.step, direction = h.direction,
        retry_count = coalesce(h.retry_count, 0), progress = h.progress, last_error = h.last_error,
        lapses = coalesce(h.lapses, 0),
        results = case when h.results is null then l.results else l.results || h.results end,
        next_retry_at = case when h.keep_due then l.next_retry_at
            else clock_timestamp() + make_interval(secs => h.delay_s) end,
        deadline_at = coalesce(clock_timestamp() + make_interval(secs => h.deadline_s), l.deadline_at),
        paused_at = case when h.progress -> 'paused' = 'true' then coalesce(l.paused_at, clock_timestamp()) end,
        lease_owner = case when h.keep_lease then l.lease_owner end,
        lease_expires_at = case when h.keep_lease then l.lease_expires_at end,
        unbegun_epoch = case when h.status in ('RECEIVED', 'PENDING') and h.keep_lease is not true
                and (h.progress -> 'round' > '1') is not true then l.lease_epoch
            else nullif(l.unbegun_epoch, l.lease_epoch) end,
        finished_at = case when h.status in ('COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED') then clock_timestamp() end,
        response_status = coalesce(l.response_status, h.response_status),
        response_body = coalesce(l.response_body, h.response_body),
        last_seq = h.last_seq + h.length, chain_head = h.hash, updated_at = clock_timestamp()
    from held h
    where l.ctid = h.place
    returning l.order_ledger_id, l.last_seq, l.correlation_id, h.at, h.replica, h.lease_epoch, h.length, h.hash, h.entries,
        h.events
), journal as (
    insert into ledger_journal (order_ledger_id, seq, at, kind, step, direction, round, attempt, outcome, request,
        response, error, duration_ms, replica, lease_epoch, actor, reason, hash)
    select u.order_ledger_id, u.last_seq - u.length + e.n, u.at, e.kind, e.step, e.direction, coalesce(e.round, 1), e.attempt,
        e.outcome, e.request, e.response, e.error, e.duration_ms, u.replica, u.lease_epoch, e.actor, e.reason,
        case when e.n = u.length then u.hash else '' end
    from updated u cross join lateral rows from (jsonb_to_recordset(u.entries) as (kind text, step text, direction text,
        round integer, attempt integer, outcome text, request jsonb, response jsonb, error text,
        duration_ms double precision, actor text, reason text))
        with ordinality as e(kind, step, direction, round, attempt, outcome, request, response, error, duration_ms, actor,
        reason, n)
), events as (
    insert into outbox (aggregateid, type, payload, correlation_id, seq)
    select u.order_ledger_id, x.type, x.payload, u.correlation_id, u.last_seq
    from updated u cross join lateral rows from (jsonb_to_recordset(u.events) as (type text, payload jsonb))
        with ordinality as x(type, payload, n)
    order by u.order_ledger_id, x.n
)
select order_ledger_id, last_seq from updated;

-- name: keep_personal
-- Keeps what an answer from outside says of a person beside what the input said.
insert into order_personal (order_ledger_id, results)
values (%(order_ledger_id)s, jsonb_build_object(%(step)s::text, %(personal)s::jsonb))
on conflict (order_ledger_id) do update set results = order_personal.results || excluded.results;

-- name: list_written
-- Which of these journal positions hold an entry of this replica and epoch: after a lost answer to COMMIT, what is found
-- here was written after all.
select j.order_ledger_id
from ledger_journal j
    join unnest(%(order_ledger_ids)s::uuid[], %(seqs)s::integer[], %(epochs)s::bigint[], %(kinds)s::text[])
        as w(order_ledger_id, seq, lease_epoch, kind)
    using (order_ledger_id, seq, lease_epoch, kind)
where j.replica = %(replica)s;

-- name: renew_leases
-- Keeps every row that one replica works on; a row that is not in the answer was lost, or is locked by somebody else.
update order_ledger l set lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
from (select o.order_ledger_id from order_ledger o
          join unnest(%(order_ledger_ids)s::uuid[], %(epochs)s::bigint[]) as k(order_ledger_id, lease_epoch)
          using (order_ledger_id, lease_epoch)
      where o.lease_expires_at is not null
      order by o.order_ledger_id for update of o skip locked) held
where l.order_ledger_id = held.order_ledger_id
returning l.order_ledger_id;

-- name: release_leases
-- Gives rows back that this replica can't finish: their leases end now, so the next claim takes them over as lapsed.
update order_ledger l set lease_expires_at = clock_timestamp()
from (select o.order_ledger_id from order_ledger o
          join unnest(%(order_ledger_ids)s::uuid[], %(epochs)s::bigint[]) as k(order_ledger_id, lease_epoch)
          using (order_ledger_id, lease_epoch)
      where o.lease_expires_at is not null
      order by o.order_ledger_id for update of o skip locked) held
where l.order_ledger_id = held.order_ledger_id
returning l.order_ledger_id;

-- name: register_definition
-- Stores a snapshot once; the same bytes have the same id.
insert into saga_definition (definition_id, saga, version, hash, fingerprint, body)
values (%(definition_id)s, %(saga)s, %(version)s, %(hash)s, %(fingerprint)s, %(body)s)
on conflict do nothing;

-- name: list_fingerprints
-- Every fingerprint that a version of a saga was ever registered with; more than one means its code was changed.
select distinct fingerprint from saga_definition where saga = %(saga)s and version = %(version)s;

-- name: get_definition
-- A snapshot by its id.
select definition_id, saga, version, fingerprint, body from saga_definition where definition_id = %(definition_id)s;

-- name: find_repeat
-- What a repeated key is answered with. It writes (a counter), so that with a synchronous standby the answer is not given
-- before the row it speaks of is safe there too. The hash says nothing of a person; what was said of one is compared itself,
-- as long as it is there.
with live as (
    update order_ledger set replays = replays + 1
    where order_ledger_id = %(order_ledger_id)s
    returning order_ledger_id, request_hash, status, response_status, response_body,
        response_status is null and lease_epoch = 1 and coalesce(lease_expires_at > clock_timestamp(), false) as held,
        lease_epoch, last_seq, saga, created_at
), purged as (
    update purged_order set replays = replays + 1
    where order_ledger_id = %(order_ledger_id)s
    returning order_ledger_id, request_hash, status, response_status, response_body, false as held, lease_epoch, last_seq,
        saga, created_at
)
select found.*, p.data as personal
from (select * from live union all select * from purged) found left join order_personal p using (order_ledger_id);

-- name: get_request
-- Who asked for what, for placing a failed order again.
select client_id, client_request_id, request_hash, metadata from order_ledger where order_ledger_id = %(order_ledger_id)s;

-- name: freeze_answer
-- Freezes the answer of a row that has none yet; returns the one that stands, which may be another's.
with live as (
    update order_ledger set response_status = coalesce(response_status, %(response_status)s),
        response_body = coalesce(response_body, %(response_body)s)
    where order_ledger_id = %(order_ledger_id)s
    returning response_status, response_body
), purged as (
    update purged_order set response_status = coalesce(response_status, %(response_status)s),
        response_body = coalesce(response_body, %(response_body)s)
    where order_ledger_id = %(order_ledger_id)s
    returning response_status, response_body
)
select * from live union all select * from purged;

-- name: wake_orchestrators
-- After commit, in a statement of its own: inside the transaction it would make all commits wait for each other.
select pg_notify('order_events', '');

-- name: list_finished
-- Which of these rows are finished, for requests that wait for the end.
select order_ledger_id from order_ledger where order_ledger_id = any (%(order_ledger_ids)s) and finished_at is not null;
