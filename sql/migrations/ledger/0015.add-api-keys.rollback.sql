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
            and not exists (select from order_ledger o where o.order_ledger_id = l.parent_id)
            and not exists (select from event_delivery d join event_subscription s using (subscription_id)
                where d.order_ledger_id = l.order_ledger_id and d.delivered_at is null and d.dead_at is null
                    and s.disabled_at is null)
            and not exists (select from outbox o join event_subscription s
                on (o.transaction_id, o.ordinal) > (s.transaction_id, s.ordinal)
                where o.aggregateid = l.order_ledger_id and s.disabled_at is null)
        order by l.created_at, l.order_ledger_id
        limit orders_max
        for update skip locked);
    update event_subscription s set missed = s.missed + lost.events
    from (select n.subscription_id, count(*) as events
          from event_subscription n join outbox o on cardinality(n.types) = 0 or o.type = any (n.types)
              left join event_delivery d on d.subscription_id = n.subscription_id
                  and d.order_ledger_id = o.aggregateid and d.event_id = o.id
          where o.aggregateid = any (due)
              and case when d.event_id is null then (o.transaction_id, o.ordinal) > (n.transaction_id, n.ordinal)
                       else d.delivered_at is null and d.dead_at is null end
          group by n.subscription_id) lost
    where s.subscription_id = lost.subscription_id;
    insert into purged_order (order_ledger_id, client_id, client_request_id, request_hash, response_status,
        response_body, saga, status, lease_epoch, last_seq, chain_head, replays, created_at, finished_at, parent_id)
    select order_ledger_id, client_id, client_request_id, request_hash, response_status, response_body, saga, status,
        lease_epoch, last_seq, chain_head, replays, created_at, finished_at, parent_id
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
    insert into event_delivery (subscription_id, order_ledger_id, event_id)
    select s.subscription_id, o.aggregateid, o.id
    from event_subscription s join outbox o on (o.transaction_id, o.ordinal) > (s.transaction_id, s.ordinal)
    where cardinality(s.types) = 0 or o.type = any (s.types);
    update event_subscription set transaction_id = '1', ordinal = (select coalesce(max(ordinal), 0) from outbox);
    update outbox set transaction_id = '1';
    get diagnostics events = row_count;
    update outbox_removed set transaction_id = '0', ordinal = 0;
    return events;
end
$$;

alter table event_subscription drop column client_id;
drop table operator_act, api_key_version, api_key;
drop function raise_api_key_version();
