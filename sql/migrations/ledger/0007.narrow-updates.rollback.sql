alter table ledger_journal reset (autovacuum_vacuum_insert_scale_factor, autovacuum_analyze_scale_factor,
    autovacuum_vacuum_cost_limit);
alter table outbox reset (autovacuum_vacuum_insert_scale_factor, autovacuum_analyze_scale_factor,
    autovacuum_vacuum_cost_limit);
create or replace function journal_entry_text(order_ledger_id uuid, seq integer, at timestamptz, kind text, step text,
        direction text, round integer, attempt integer, outcome text, request jsonb, response jsonb, error text,
        duration_ms double precision, replica text, lease_epoch bigint, actor text, reason text)
    returns text language sql stable parallel safe as
$$ select jsonb_build_array(order_ledger_id, seq, extract(epoch from at), kind, step, direction, round, attempt, outcome,
        request, response, error, duration_ms, replica, lease_epoch, actor, reason)::text $$;

create or replace function journal_digest(state bytea, head bytea, entry text) returns bytea
    language sql immutable parallel safe as
$$ select sha256(coalesce(state, head, ''::bytea) || convert_to(entry, 'UTF8')) $$;

alter table order_ledger rename to order_ledger_before;
alter table order_ledger_before drop constraint order_ledger_pkey cascade;
alter table order_ledger_before drop constraint order_ledger_client_key;
drop index order_ledger_created, order_ledger_customer, order_ledger_client, order_ledger_ended, order_ledger_parent,
    order_ledger_unfinished, order_ledger_halted, order_ledger_due, order_ledger_suspect;
create table order_ledger (
    order_ledger_id uuid not null,             -- UUIDv8 over client and client's key: the idempotency check itself
    client_id text not null,
    client_request_id text not null
        constraint order_ledger_client_request_id_check check (client_request_id <> ''),
    request_hash bytea not null,
    response_status smallint,                  -- the answer that every repeat of the request gets; null until frozen
    response_body text,
    saga text not null,
    saga_version integer not null,
    definition_id uuid not null,
    status text not null
        constraint order_ledger_status_check check (status in
            ('RECEIVED', 'PENDING', 'RUNNING', 'COMPENSATING', 'STUCK', 'COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED')),
    step text,                                 -- the step that is on its way or was last tried
    retry_count integer not null default 0
        constraint order_ledger_retry_count_check check (retry_count >= 0),
    next_retry_at timestamptz,
    last_error text,
    customer_id text,
    currency text,
    total_minor bigint
        constraint order_ledger_total_minor_check check (total_minor >= 0),
    input jsonb not null,                      -- immutable, without personal data
    results jsonb not null default '{}',       -- answers of succeeded steps, by step
    progress jsonb not null,                   -- the state machine's state; status, step, direction are read off it
    metadata jsonb not null default '{}',
    correlation_id text not null,
    traceparent text,
    direction text not null default 'action'
        constraint order_ledger_direction_check check (direction in ('action', 'compensation')),
    parent_id uuid,
    paused_at timestamptz,
    last_seq integer not null default 0,       -- of the journal; the row's own counter, so the journal has no gaps
    chain_head bytea,                          -- hash of the journal's last entry
    lease_owner text,
    lease_epoch bigint not null default 0,     -- grows with every claim, stands in the condition of every write
    lease_expires_at timestamptz,
    lapses integer not null default 0,         -- claims in a row that ran out without one write
    replays integer not null default 0,        -- repeats of the request that were answered from this row
    deadline_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    -- When an orchestrator may take the row: once nobody's lease holds and no retry is waited for; null for never.
    due_at timestamptz generated always as (
        case when finished_at is null and paused_at is null and status <> 'STUCK'
             then greatest(created_at, lease_expires_at, next_retry_at) end) stored,
    constraint order_ledger_finished check
        ((status in ('COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED')) = (finished_at is not null)),
    constraint order_ledger_lease check ((lease_owner is null) = (lease_expires_at is null)),
    constraint order_ledger_no_lease_at_rest check
        (lease_owner is null or status in ('RECEIVED', 'PENDING', 'RUNNING', 'COMPENSATING')),
    constraint order_ledger_answer check ((response_status is null) = (response_body is null))
)
-- Room on the page keeps a step's update on it (HOT); large inputs move out of line, where an update leaves them alone.
with (fillfactor = 70, toast_tuple_target = 512);
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
alter table ledger_journal add constraint ledger_journal_order_ledger_id_fkey
    foreign key (order_ledger_id) references order_ledger;
alter table outbox add constraint outbox_aggregateid_fkey foreign key (aggregateid) references order_ledger (order_ledger_id);
comment on column order_ledger.due_at is 'claimed in this order by orchestrators; null: nothing to do';
create index order_ledger_due on order_ledger (due_at) where due_at is not null;
create index order_ledger_created on order_ledger (created_at desc, order_ledger_id desc);
create index order_ledger_customer on order_ledger (customer_id, created_at desc, order_ledger_id desc);
create index order_ledger_unfinished on order_ledger (status, created_at) where finished_at is null;
create index order_ledger_parent on order_ledger (parent_id) where parent_id is not null;
create index order_ledger_client on order_ledger (client_id, created_at desc, order_ledger_id desc);
create index order_ledger_ended on order_ledger (finished_at) where finished_at is not null;
create index order_ledger_suspect on order_ledger (due_at) where due_at is not null and lapses > 0;
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
