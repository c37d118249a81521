drop table saga_config_history;
drop trigger saga_config_no_truncate on saga_config;
drop trigger saga_config_kept on saga_config;
drop index saga_config_one_next;
update saga_config set state = 'discarded' where state = 'canary';
alter table saga_config
    drop constraint saga_config_canary_stated,
    drop column canary_percent, drop column canary_failure_rate_max, drop column canary_orders_min,
    drop column canary_from, drop column canary_until, drop column judged_at,
    drop constraint saga_config_state_check,
    add constraint saga_config_state_check check (state in ('pending', 'active', 'retired', 'discarded'));
