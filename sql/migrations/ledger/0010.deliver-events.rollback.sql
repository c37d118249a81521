create or replace function purge_orders(older_than interval, orders_max integer) returns integer
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

create or replace function restart_feed() returns bigint
    language plpgsql set search_path = public, pg_temp as
$$
declare
    events bigint;
begin
    update outbox set transaction_id = '1';
    get diagnostics events = row_count;
    update outbox_removed set transaction_id = '0', ordinal = 0;
    return events;
end
$$;

alter table event_delivery reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_analyze_scale_factor);
drop index event_delivery_waiting, event_delivery_dead, event_delivery_done;
create index event_delivery_due on event_delivery (next_retry_at) where delivered_at is null and dead_at is null;

alter table event_subscription
    drop column name, drop column secret, drop column old_secret, drop column old_secret_until, drop column transaction_id,
    drop column ordinal, drop column missed, drop column failing_since, drop column disabled_reason;
