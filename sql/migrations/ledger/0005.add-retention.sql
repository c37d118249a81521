-- Retention: finished orders leave the ledger whole, in small batches, and each leaves a narrow row behind that still
-- answers repeats of its request.
-- depends: 0004.remember-breaker-calls

create table purged_order (
    order_ledger_id uuid primary key,
    client_id text not null,
    client_request_id text not null,
    request_hash bytea not null,
    response_status smallint,
    response_body text,
    saga text not null,
    status text not null check (status in ('COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED')),
    lease_epoch bigint not null,
    last_seq integer not null,
    chain_head bytea,                          -- what the journal's hash chain had come to: a copy of it can be checked
    replays integer not null,
    created_at timestamptz not null,
    finished_at timestamptz not null,
    purged_at timestamptz not null default clock_timestamp()
);

-- History is deleted only where the narrow row says so: whoever could delete it otherwise would leave that trace.
create function refuse_unrecorded_delete() returns trigger language plpgsql as
$$ begin
    if exists (select from purged_order p where p.order_ledger_id = old.order_ledger_id) then
        return old;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;
drop trigger ledger_journal_append_only on ledger_journal;
create trigger ledger_journal_append_only before update on ledger_journal
    for each row execute function refuse_change();
create trigger ledger_journal_no_delete before delete on ledger_journal
    for each row execute function refuse_unrecorded_delete();
create trigger purged_order_no_delete before delete on purged_order
    for each row execute function refuse_change();
create trigger purged_order_no_truncate before truncate on purged_order
    for each statement execute function refuse_change();

-- Deleting an outbox row looks for its deliveries by these.
create index event_delivery_event on event_delivery (order_ledger_id, event_id);

-- Removes the oldest finished orders, at most so many, and returns how many it removed. What somebody has locked, what
-- still has an event to be delivered, and what an unfinished order stands under, is left for another time.
create function purge_orders(older_than interval, orders_max integer) returns integer
    language plpgsql security definer set search_path = public, pg_temp as
$$
declare
    due uuid[];
begin
    due := array(
        select l.order_ledger_id
        from order_ledger l
        where l.created_at < clock_timestamp() - older_than and l.finished_at < clock_timestamp() - older_than
            and not exists (select from order_ledger c where c.parent_id = l.order_ledger_id and c.finished_at is null)
            and not exists (select from event_delivery d
                where d.order_ledger_id = l.order_ledger_id and d.delivered_at is null and d.dead_at is null)
        order by l.created_at, l.order_ledger_id
        limit orders_max
        for update skip locked);
    insert into purged_order (order_ledger_id, client_id, client_request_id, request_hash, response_status,
        response_body, saga, status, lease_epoch, last_seq, chain_head, replays, created_at, finished_at)
    select order_ledger_id, client_id, client_request_id, request_hash, response_status, response_body, saga, status,
        lease_epoch, last_seq, chain_head, replays, created_at, finished_at
    from order_ledger where order_ledger_id = any (due);
    delete from outbox where aggregateid = any (due);
    delete from ledger_journal where order_ledger_id = any (due);
    delete from order_ledger where order_ledger_id = any (due);
    return cardinality(due);
end
$$;
revoke execute on function purge_orders(interval, integer) from public;
