-- Many orders that operators have go on at once: which ones is chosen once and kept, so that a run that is broken off goes on
-- where it stood, from whichever machine, and an audit sees who had what retried, why, and what became of each order.
-- depends: 0019.let-orders-be-paused

create table retry_run (
    run_id bigint generated always as identity primary key,
    begun_at timestamptz not null default clock_timestamp(),
    actor text not null check (actor <> ''),
    reason text not null check (reason <> ''),
    asked jsonb not null,                      -- which orders were meant, and how fast and how carefully they were to be retried
    stopped_at timestamptz,                    -- when it was stopped before its end; null while it goes on, or when it has ended
    stopped_why text,
    constraint retry_run_stopped check ((stopped_at is null) = (stopped_why is null))
);
create trigger retry_run_kept before update of run_id, begun_at, actor, reason, asked or delete on retry_run
    for each row execute function refuse_change();
create trigger retry_run_no_truncate before truncate on retry_run for each statement execute function refuse_change();

create table retry_run_order (
    run_id bigint not null references retry_run,
    order_ledger_id uuid not null,
    position integer not null,                 -- in the set, the oldest order first
    status text not null,                      -- this and the next five as they were when the set was chosen
    forward boolean not null,                  -- whether it is to get to COMPLETED; else it is to be undone
    step text,
    last_error text,
    total_minor bigint,
    currency text,
    tried_at timestamptz,                      -- null: is still to be retried
    goes_on_as uuid,                           -- the order itself, or the new one that takes its place
    refused text,                              -- why it was not retried
    ended_as text,                             -- its status when it was first seen finished, or STUCK again
    went_wrong boolean generated always as (
        ended_as is not null and (ended_as = 'STUCK' or (forward and ended_as in ('FAILED', 'DECLINED')))) stored,
    primary key (run_id, order_ledger_id),
    constraint retry_run_order_tried check ((tried_at is null) = (goes_on_as is null and refused is null)),
    constraint retry_run_order_ended check (ended_as is null or goes_on_as is not null)
);
create index retry_run_order_left on retry_run_order (run_id, position) where tried_at is null;
create index retry_run_order_under_way on retry_run_order (run_id) where goes_on_as is not null and ended_as is null;

-- Retention: which orders were in a run goes with the time that orders are kept. The run itself stays, as other acts do.
create function forget_retried(older_than interval, orders_max integer) returns integer
    language plpgsql security definer set search_path = public, pg_temp as
$$
declare
    forgotten integer;
begin
    delete from retry_run_order o using (
        select run_id, order_ledger_id from retry_run_order join retry_run using (run_id)
        where begun_at < clock_timestamp() - older_than
        limit orders_max) old
    where o.run_id = old.run_id and o.order_ledger_id = old.order_ledger_id;
    get diagnostics forgotten = row_count;
    return forgotten;
end
$$;
revoke execute on function forget_retried(interval, integer) from public;

grant select, insert on retry_run, retry_run_order to sagaledger_operator;
grant update (stopped_at, stopped_why) on retry_run to sagaledger_operator;
grant update (tried_at, goes_on_as, refused, ended_as) on retry_run_order to sagaledger_operator;
grant select on retry_run, retry_run_order to sagaledger_auditor;
grant execute on function forget_retried(interval, integer) to sagaledger_orchestrator;
