-- API keys of clients and operators, an owner for webhooks, and a record of what operators do that is about no order.
-- depends: 0014.remember-parents

-- A key is `key_id.secret`; only a hash of the secret is here, so whoever reads this table can't ask for anything. A key is
-- never changed but in how long it holds, and never removed: an installation that had keys stays closed.
create table api_key (
    key_id text primary key check (key_id ~ '^sgl_[a-z0-9]{16}$'),
    secret_hash bytea not null check (octet_length(secret_hash) = 32),     -- SHA-256 of 256 random bits
    client_id text not null check (client_id ~ '^[A-Za-z0-9._:@-]{1,64}$'),
    scopes text[] not null check (cardinality(scopes) > 0 and scopes <@ array['orders', 'events', 'admin']),
    note text not null default '',
    created_at timestamptz not null default clock_timestamp(),
    replaces text references api_key,                                      -- the key that this one was made to take the place of
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz                                               -- within about a minute
);
create trigger api_key_kept before update of key_id, secret_hash, client_id, scopes, created_at, replaces or delete on api_key
    for each row execute function refuse_change();
create trigger api_key_no_truncate before truncate on api_key for each statement execute function refuse_change();

-- Raised with every change of a key, in its transaction: an edge that has seen this version has seen every key.
create table api_key_version (
    one_row boolean primary key default true check (one_row),
    version bigint not null default 0
);
insert into api_key_version default values;
create function raise_api_key_version() returns trigger
    language plpgsql security definer set search_path = public, pg_temp as
$$ begin update api_key_version set version = version + 1; return null; end $$;
create trigger api_key_raise_version after insert or update of expires_at, revoked_at on api_key
    for each statement execute function raise_api_key_version();

-- What operators do with keys, webhooks and participants: who, what, with what, why. (With orders: ledger_journal. With
-- configuration: saga_config_history.)
create table operator_act (
    act_id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null check (actor <> ''),
    act text not null check (act <> ''),
    subject text not null,
    reason text not null,                                                  -- empty where none was asked for
    details jsonb not null default '{}'
);
create trigger operator_act_append_only before update or delete on operator_act
    for each row execute function refuse_change();
create trigger operator_act_no_truncate before truncate on operator_act for each statement execute function refuse_change();

-- Events of this client's orders only; null: of every client's.
alter table event_subscription add column client_id text check (client_id ~ '^[A-Za-z0-9._:@-]{1,64}$');

-- As before; a subscription that has an owner misses nothing of other clients.
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
          from outbox o join order_ledger l on l.order_ledger_id = o.aggregateid
              join event_subscription n on (cardinality(n.types) = 0 or o.type = any (n.types))
                  and (n.client_id is null or n.client_id = l.client_id)
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

-- As before; a subscription that has an owner gets deliveries of that client's events only.
create or replace function restart_feed() returns bigint
    language plpgsql set search_path = public, pg_temp as
$$
declare
    events bigint;
begin
    insert into event_delivery (subscription_id, order_ledger_id, event_id)
    select s.subscription_id, o.aggregateid, o.id
    from event_subscription s join outbox o on (o.transaction_id, o.ordinal) > (s.transaction_id, s.ordinal)
        left join order_ledger l on l.order_ledger_id = o.aggregateid
    where (cardinality(s.types) = 0 or o.type = any (s.types)) and (s.client_id is null or s.client_id = l.client_id);
    update event_subscription set transaction_id = '1', ordinal = (select coalesce(max(ordinal), 0) from outbox);
    update outbox set transaction_id = '1';
    get diagnostics events = row_count;
    update outbox_removed set transaction_id = '0', ordinal = 0;
    return events;
end
$$;
