delete from event_subscription where channel is not null;
drop function open_channel(text, text, text, text[]);
revoke update (held_until) on event_subscription from sagaledger_orchestrator;
alter table event_subscription drop column held_until, drop column channel;
