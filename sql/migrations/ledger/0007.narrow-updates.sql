-- What a step's update costs: the row's columns in the order in which they change, an index for each question and no more,
-- and no trigger with a query of its own for each journal entry and event.
-- depends: 0006.index-suspects

-- The server writes of an update to its log what lies between the first and the last byte that changed, when the new
-- version finds room on the page of the old one. So what never changes comes first, then what changes with a claim or at
-- the end, last what each step changes. Columns can't be moved: the table is written anew.
alter table order_ledger rename to order_ledger_before;
alter table order_ledger_before drop constraint order_ledger_pkey cascade;
alter table order_ledger_before drop constraint order_ledger_client_key;
drop index order_ledger_created, order_ledger_customer, order_ledger_client, order_ledger_ended, order_ledger_parent,
    order_ledger_unfinished, order_ledger_due, order_ledger_suspect;

create table order_ledger (
    order_ledger_id uuid not null,             -- UUIDv8 over client and client's key: the idempotency check itself
    definition_id uuid not null,
    parent_id uuid,
    created_at timestamptz not null default clock_timestamp(),
    total_minor bigint
        constraint order_ledger_total_minor_check check (total_minor >= 0),
    saga_version integer not null,
    saga text not null,
    client_id text not null,
    client_request_id text not null
        constraint order_ledger_client_request_id_check check (client_request_id <> ''),
    request_hash bytea not null,
    customer_id text,
    currency text,
    correlation_id text not null,
    traceparent text,
    metadata jsonb not null default '{}',
    input jsonb not null,                      -- immutable, without personal data

    response_status smallint,                  -- the answer that every repeat of the request gets; null until frozen
    response_body text,
    deadline_at timestamptz,
    paused_at timestamptz,
    finished_at timestamptz,
    next_retry_at timestamptz,
    -- When an orchestrator may take the row: once nobody's lease holds and no retry is waited for; null for never.
    due_at timestamptz generated always as (
        case when finished_at is null and paused_at is null and status <> 'STUCK'
             then greatest(created_at, lease_expires_at, next_retry_at) end) stored,
    lease_epoch bigint not null default 0,     -- grows with every claim, stands in the condition of every write
    lease_expires_at timestamptz,
    lease_owner text,
    lapses integer not null default 0,         -- claims in a row that ran out without one write
    retry_count integer not null default 0
        constraint order_ledger_retry_count_check check (retry_count >= 0),
    replays integer not null default 0,        -- repeats of the request that were answered from this row
    direction text not null default 'action'
        constraint order_ledger_direction_check check (direction in ('action', 'compensation')),
    last_error text,

    status text not null
        constraint order_ledger_status_check check (status in
            ('RECEIVED', 'PENDING', 'RUNNING', 'COMPENSATING', 'STUCK', 'COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED')),
    step text,                                 -- the step that is on its way or was last tried
    last_seq integer not null default 0,       -- of the journal; the row's own counter, so the journal has no gaps
    updated_at timestamptz not null default clock_timestamp(),
    chain_head bytea,                          -- hash of the journal's last entry
    progress jsonb not null,                   -- the state machine's state; status, step, direction are read off it
    results jsonb not null default '{}',       -- answers of succeeded steps, by step
    constraint order_ledger_finished check
        ((status in ('COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED')) = (finished_at is not null)),
    constraint order_ledger_lease check ((lease_owner is null) = (lease_expires_at is null)),
    constraint order_ledger_no_lease_at_rest check
        (lease_owner is null or status in ('RECEIVED', 'PENDING', 'RUNNING', 'COMPENSATING')),
    constraint order_ledger_answer check ((response_status is null) = (response_body is null))
)
-- Rows placed together are claimed together and take their steps together: half of a page is room for a second version of
-- each row on it. Large inputs move out of line, where an update leaves them alone.
with (fillfactor = 50, toast_tuple_target = 512);

insert into order_ledger (order_ledger_id, definition_id, parent_id, created_at, total_minor, saga_version, saga, client_id,
    client_request_id, request_hash, customer_id, currency, correlation_id, traceparent, metadata, input,
    response_status, response_body, deadline_at, paused_at, finished_at, next_retry_at, lease_epoch,
    lease_expires_at, lease_owner, lapses, retry_count, replays, direction, last_error, status, step, last_seq,
    updated_at, chain_head, progress, results)
select order_ledger_id, definition_id, parent_id, created_at, total_minor, saga_version, saga, client_id,
    client_request_id, request_hash, customer_id, currency, correlation_id, traceparent, metadata, input,
    response_status, response_body, deadline_at, paused_at, finished_at, next_retry_at, lease_epoch,
    lease_expires_at, lease_owner, lapses, retry_count, replays, direction, last_error, status, step, last_seq,
    updated_at, chain_head, progress, results
from order_ledger_before
order by created_at, order_ledger_id;

alter table order_ledger
    add constraint order_ledger_pkey primary key (order_ledger_id),
    add constraint order_ledger_client_key unique (client_id, client_request_id),
    add constraint order_ledger_definition_id_fkey foreign key (definition_id) references saga_definition;
alter table order_personal add constraint order_personal_order_ledger_id_fkey
    foreign key (order_ledger_id) references order_ledger on delete cascade;
alter table order_ledger_items add constraint order_ledger_items_order_ledger_id_fkey
    foreign key (order_ledger_id) references order_ledger on delete cascade;
comment on column order_ledger.due_at is 'claimed in this order by orchestrators; null: nothing to do';

-- None of these names a column that a step changes, so a step touches no index. A claim and the end do, through due_at and
-- finished_at. The definition stands in the index of what is due so that the rows of others' definitions are passed over in
-- it (by PostgreSQL 17 and later; older ones look into the rows).
create index order_ledger_due on order_ledger (due_at, definition_id) where due_at is not null;
create index order_ledger_suspect on order_ledger (due_at) where due_at is not null and lapses > 0;
create index order_ledger_created on order_ledger (created_at desc, order_ledger_id desc);
create index order_ledger_client on order_ledger (client_id, created_at desc, order_ledger_id desc);
create index order_ledger_customer on order_ledger (customer_id, created_at desc, order_ledger_id desc);
create index order_ledger_unfinished on order_ledger (created_at desc, order_ledger_id desc) where finished_at is null;
create index order_ledger_halted on order_ledger (created_at desc, order_ledger_id desc)
    where finished_at is null and due_at is null;
create index order_ledger_ended on order_ledger (finished_at) where finished_at is not null;
create index order_ledger_parent on order_ledger (parent_id) where parent_id is not null;

-- Who might read or write the table before, may.
do $$
declare
    granted record;
begin
    for granted in
        select a.privilege_type, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end as grantee,
            case when a.is_grantable then ' with grant option' else '' end as with_option
        from pg_class c cross join aclexplode(c.relacl) a
        where c.oid = 'order_ledger_before'::regclass and a.grantee <> c.relowner
    loop
        execute format('grant %s on order_ledger to %s%s', granted.privilege_type, granted.grantee, granted.with_option);
    end loop;
end $$;
drop table order_ledger_before;

-- A journal entry and an event are written with their order's row by one statement, which joins the row that it has changed;
-- a reference besides costs a query and a lock for each of them. What remains is the other direction: an order goes only where
-- the narrow row of its retention stands, and retention takes its journal and events with it. `sql/audit/` looks for both.

create trigger order_ledger_no_delete before delete on order_ledger
    for each row execute function refuse_unrecorded_delete();

-- The same text and the same hash as before, byte for byte, in two thirds of the time: an array of JSON is not built only to
-- be written down, and a function of plpgsql keeps its plan where one of SQL that an aggregate calls does not.
create or replace function journal_entry_text(order_ledger_id uuid, seq integer, at timestamptz, kind text, step text,
        direction text, round integer, attempt integer, outcome text, request jsonb, response jsonb, error text,
        duration_ms double precision, replica text, lease_epoch bigint, actor text, reason text)
    returns text language sql stable parallel safe as
$$ select '["' || order_ledger_id || '", ' || seq || ', ' || extract(epoch from at) || ', "' || kind || '", '
        || coalesce(to_json(step)::text, 'null') || ', ' || coalesce('"' || direction || '"', 'null') || ', ' || round
        || ', ' || coalesce(attempt::text, 'null') || ', ' || coalesce(to_json(outcome)::text, 'null')
        || ', ' || coalesce(request::text, 'null') || ', ' || coalesce(response::text, 'null')
        || ', ' || coalesce(to_json(error)::text, 'null') || ', ' || coalesce(to_jsonb(duration_ms)::text, 'null')
        || ', ' || to_json(replica)::text || ', ' || lease_epoch
        || ', ' || coalesce(to_json(actor)::text, 'null') || ', ' || coalesce(to_json(reason)::text, 'null') || ']' $$;
create or replace function journal_digest(state bytea, head bytea, entry text) returns bytea
    language plpgsql immutable parallel safe as
$$ begin return sha256(coalesce(state, head, ''::bytea) || convert_to(entry, 'UTF8')); end $$;

-- The share of a table that may be dead or new before it is vacuumed is a fifth by default: of a ledger of ten million orders
-- two million. These keep it at a share that is vacuumed within seconds, whatever the size, and with more I/O allowed than by
-- default, since a vacuum that falls behind costs every claim. Claims look for what is due through an index from which
-- vacuum removes what was claimed before. Journal and outbox are appended to: vacuum marks their pages as seen by all, and the
-- planner's idea of their sizes follows.
alter table order_ledger set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_limit = 1000);
alter table ledger_journal set (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_limit = 1000);
alter table outbox set (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_limit = 1000);
