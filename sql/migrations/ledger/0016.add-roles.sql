-- Roles with the rights that each process needs and no more, and a second wall between clients: a row of another client does
-- not exist for the edge, whatever its statement says. `docs/security.md` tells who is to have which role.
-- depends: 0015.add-api-keys

-- Roles belong to the server, so they may be there already, by another database's migration or by hand. Nobody logs in as one
-- of these: a deployment makes users with passwords of its own `in role` of them.
do $$
declare
    roles constant text[] := array['sagaledger_auditor', 'sagaledger_edge', 'sagaledger_operator', 'sagaledger_orchestrator',
        'sagaledger_owner'];
    statement text;
begin
    for statement in
        select format('create role %I nologin', name) from unnest(roles) name where to_regrole(name) is null
        union all
        -- People's commands do what edge and orchestrators do, and look after keys and the registry besides.
        select format('grant %I to sagaledger_operator', name) from unnest(roles) name
        where name in ('sagaledger_edge', 'sagaledger_orchestrator')
            and not coalesce(pg_has_role(to_regrole('sagaledger_operator'), to_regrole(name), 'member'), false)
    loop
        begin
            execute statement;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'user % may not make roles: have a superuser run the statements of sql/roles.sql, and migrate again',
                    current_user using errcode = 'insufficient_privilege';
        end;
    end loop;
end $$;

revoke create on schema public from public;
revoke all on all tables in schema public from public;
revoke execute on all functions in schema public from public;
grant usage on schema public
    to sagaledger_auditor, sagaledger_edge, sagaledger_operator, sagaledger_orchestrator, sagaledger_owner;

-- Sessions of other users show their names only to whom the server trusts with that. Without it (the one who migrates is no
-- superuser and no member of pg_read_all_stats) orchestrators of other users are not counted.
create function count_orchestrators() returns bigint
    language sql stable security definer set search_path = pg_catalog, pg_temp as
$$ select count(distinct application_name) from pg_stat_activity
   where datname = current_database() and application_name like 'saga orchestrator %' $$;
revoke execute on function count_orchestrators() from public;

-- Which orders there are personal data of, without the data.
create view personal_data_held as select order_ledger_id from order_personal;

-- Every process asks on start which migrations there are, keeps snapshots of definitions, and computes the journal's chain.
grant select on _yoyo_migration to sagaledger_auditor, sagaledger_edge, sagaledger_orchestrator;
grant select, insert on saga_definition to sagaledger_edge, sagaledger_orchestrator;
grant execute on function journal_chain(bytea, text), journal_entry_text(uuid, integer, timestamptz, text, text, text, integer,
    integer, text, jsonb, jsonb, text, double precision, text, bigint, text, text), count_orchestrators()
    to sagaledger_auditor, sagaledger_edge, sagaledger_orchestrator;

-- Orders: inserted by the edge, carried on by both. What an order was asked for is written once and by nobody changed.
grant select, insert on order_ledger, order_ledger_items, order_personal to sagaledger_edge;
grant select on order_ledger, order_ledger_items, order_personal to sagaledger_orchestrator;
grant update (status, step, direction, retry_count, progress, results, last_error, lapses, next_retry_at, deadline_at,
        lease_owner, lease_expires_at, finished_at, response_status, response_body, last_seq, chain_head, updated_at)
    on order_ledger to sagaledger_edge, sagaledger_orchestrator;
grant update (replays) on order_ledger to sagaledger_edge;
grant update (lease_epoch) on order_ledger to sagaledger_orchestrator;
grant select on purged_order to sagaledger_edge, sagaledger_orchestrator;
grant update (replays, response_status, response_body) on purged_order to sagaledger_edge;
grant select, insert on ledger_journal, outbox to sagaledger_edge, sagaledger_orchestrator;
grant select on outbox_removed to sagaledger_edge;
grant execute on function purge_orders(interval, integer) to sagaledger_orchestrator;

-- What the fleet shares. The admin listener changes breakers, configuration and webhooks, orchestrators judge and send.
grant select on participant, participant_breaker, saga_config, saga_config_history to sagaledger_edge, sagaledger_orchestrator;
grant insert on participant_breaker, saga_config_history to sagaledger_edge, sagaledger_orchestrator;
grant update on participant_breaker to sagaledger_edge, sagaledger_orchestrator;
grant insert on saga_config to sagaledger_edge;
grant update (state, canary_percent, canary_failure_rate_max, canary_orders_min, canary_from, canary_until, judged_at)
    on saga_config to sagaledger_edge, sagaledger_orchestrator;
grant select, insert, update, delete on event_subscription to sagaledger_edge;
grant select on event_subscription to sagaledger_orchestrator;
grant update (transaction_id, ordinal, failing_since, disabled_at, disabled_reason) on event_subscription
    to sagaledger_orchestrator;
grant select, delete on event_delivery to sagaledger_edge;
grant update (attempts, next_retry_at, dead_at) on event_delivery to sagaledger_edge;
grant select, insert, delete on event_delivery to sagaledger_orchestrator;
grant update (attempts, next_retry_at, delivered_at, dead_at, error) on event_delivery to sagaledger_orchestrator;

-- Keys: the edge compares and notes the use; only people make, end and list them, and say where participants are.
grant select on api_key, api_key_version to sagaledger_edge;
grant update (last_used_at) on api_key to sagaledger_edge;
grant insert on operator_act to sagaledger_edge, sagaledger_operator;
grant select on operator_act to sagaledger_operator;
grant insert on api_key to sagaledger_operator;
grant update (expires_at, revoked_at) on api_key to sagaledger_operator;
grant insert, update, delete on participant to sagaledger_operator;

-- An auditor reads all but personal data, the hashes of keys and the secrets of webhooks.
grant select on order_ledger, order_ledger_items, ledger_journal, outbox, outbox_removed, purged_order, saga_definition,
    saga_config, saga_config_history, participant, participant_breaker, event_delivery, operator_act, personal_data_held
    to sagaledger_auditor;
grant select (subscription_id, name, url, types, client_id, created_at, disabled_at, disabled_reason, transaction_id, ordinal,
    missed, failing_since, old_secret_until) on event_subscription to sagaledger_auditor;
grant select (key_id, client_id, scopes, note, created_at, replaces, expires_at, revoked_at, last_used_at) on api_key
    to sagaledger_auditor;

-- The second wall. The edge names in each transaction whom it acts for: a client, or `*` for operators and for what it does on
-- its own account. Without a name there are no rows. Orchestrators and auditors see all. The tables' owner is bound by no
-- policy: it would have to be told of each, and a deployment with one user for everything would see nothing.
alter table order_ledger enable row level security;
alter table purged_order enable row level security;
alter table order_ledger_items enable row level security;
alter table order_personal enable row level security;
alter table ledger_journal enable row level security;
alter table outbox enable row level security;
alter table event_delivery enable row level security;

create policy own_client on order_ledger to sagaledger_edge
    using (current_setting('saga.client_id', true) in (client_id, '*'));
create policy own_client on purged_order to sagaledger_edge
    using (current_setting('saga.client_id', true) in (client_id, '*'));
-- What belongs to an order is seen with it: the policy on order_ledger holds in these subqueries too.
create policy own_order on order_ledger_items for select to sagaledger_edge
    using (exists (select from order_ledger l where l.order_ledger_id = order_ledger_items.order_ledger_id));
create policy own_order on order_personal for select to sagaledger_edge
    using (exists (select from order_ledger l where l.order_ledger_id = order_personal.order_ledger_id));
create policy own_order_changed on order_personal for update to sagaledger_edge
    using (exists (select from order_ledger l where l.order_ledger_id = order_personal.order_ledger_id));
create policy own_order on ledger_journal for select to sagaledger_edge
    using (exists (select from order_ledger l where l.order_ledger_id = ledger_journal.order_ledger_id));
create policy own_order on outbox for select to sagaledger_edge
    using (current_setting('saga.client_id', true) = '*'
           or exists (select from order_ledger l where l.order_ledger_id = outbox.aggregateid));
create policy everybodys on event_delivery to sagaledger_edge using (current_setting('saga.client_id', true) = '*');
-- They are inserted by the statement that inserts or changes their order, joined to its row, which no subquery sees yet.
create policy with_their_order on order_ledger_items for insert to sagaledger_edge
    with check (current_setting('saga.client_id', true) <> '');
create policy with_their_order on order_personal for insert to sagaledger_edge
    with check (current_setting('saga.client_id', true) <> '');
create policy with_their_order on ledger_journal for insert to sagaledger_edge
    with check (current_setting('saga.client_id', true) <> '');
create policy with_their_order on outbox for insert to sagaledger_edge
    with check (current_setting('saga.client_id', true) <> '');

create policy all_clients on order_ledger to sagaledger_orchestrator, sagaledger_auditor using (true);
create policy all_clients on purged_order to sagaledger_orchestrator, sagaledger_auditor using (true);
create policy all_clients on order_ledger_items to sagaledger_orchestrator, sagaledger_auditor using (true);
create policy all_clients on order_personal to sagaledger_orchestrator using (true);
create policy all_clients on ledger_journal to sagaledger_orchestrator, sagaledger_auditor using (true);
create policy all_clients on outbox to sagaledger_orchestrator, sagaledger_auditor using (true);
create policy all_clients on event_delivery to sagaledger_orchestrator, sagaledger_auditor using (true);

-- Users that were given rights before, by name, keep what they had: processes of the release before run on while this one is
-- rolled out. Once each has its role, `drop policy as_before on …`.
do $$
declare
    users constant text := (
        select string_agg(distinct a.grantee::regrole::text, ', ')
        from pg_class c cross join aclexplode(c.relacl) a
        where c.oid in ('order_ledger'::regclass, 'ledger_journal'::regclass, 'outbox'::regclass)
            and a.grantee not in (0, c.relowner) and a.grantee::regrole::text !~ '^sagaledger_');
    hidden text;
begin
    if users is not null then
        foreach hidden in array array['order_ledger', 'purged_order', 'order_ledger_items', 'order_personal', 'ledger_journal',
                'outbox', 'event_delivery'] loop
            execute format('create policy as_before on %I to %s using (true)', hidden, users);
        end loop;
        execute format('grant execute on routine journal_chain, journal_entry_text to %s', users);
    end if;
end $$;
