delete from event_subscription where channel is not null;
revoke insert (name, url, types, secret, transaction_id, channel), update (held_until) on event_subscription from sagaledger_orchestrator;
alter table event_subscription drop column held_until, drop column channel;
