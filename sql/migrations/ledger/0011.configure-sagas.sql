-- Configuration at run time: revisions of a saga's configuration, one that new orders may be tried on first, and an
-- append-only history of what was done with them, by whom and why.
-- depends: 0009.add-event-feed

-- A revision is never changed, only what it is used for. `canary`: a share of new orders starts on it.
alter table saga_config
    drop constraint saga_config_state_check,
    add constraint saga_config_state_check check (state in ('pending', 'canary', 'active', 'retired', 'discarded')),
    add column canary_percent double precision check (canary_percent > 0 and canary_percent < 100),
    add column canary_failure_rate_max double precision check (canary_failure_rate_max between 0 and 1),
    add column canary_orders_min integer check (canary_orders_min >= 1),
    add column canary_from timestamptz,
    add column canary_until timestamptz,
    add column judged_at timestamptz,          -- when a replica last began to judge the canary; one does so at a time
    add constraint saga_config_canary_stated check (state <> 'canary' or (canary_percent, canary_failure_rate_max,
        canary_orders_min, canary_from, canary_until) is not null);
create unique index saga_config_one_next on saga_config (saga) where state in ('pending', 'canary');
create trigger saga_config_kept before update of saga, revision, body, actor, reason, created_at or delete on saga_config
    for each row execute function refuse_change();
create trigger saga_config_no_truncate before truncate on saga_config for each statement execute function refuse_change();

-- The newest entry's number is what an edge compares with each order that it inserts: it learns so, without asking, that
-- orders start on something else now.
create table saga_config_history (
    saga text not null,
    seq integer not null check (seq >= 1),
    at timestamptz not null default clock_timestamp(),
    act text not null check (act in ('set', 'discard', 'apply', 'canary', 'promote', 'withdraw')),
    revision integer not null,
    actor text not null check (actor <> ''),
    reason text not null check (reason <> ''),
    figures jsonb not null default '{}',       -- what a decision on a canary was made on
    primary key (saga, seq),
    foreign key (saga, revision) references saga_config
);
create trigger saga_config_history_append_only before update or delete on saga_config_history
    for each row execute function refuse_change();
create trigger saga_config_history_no_truncate before truncate on saga_config_history
    for each statement execute function refuse_change();
