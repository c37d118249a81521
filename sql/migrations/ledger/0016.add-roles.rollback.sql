-- The roles stay: other databases of the server may use them.
drop policy own_client on order_ledger;
drop policy own_client on purged_order;
drop policy own_order on order_ledger_items;
drop policy own_order on order_personal;
drop policy own_order_changed on order_personal;
drop policy own_order on ledger_journal;
drop policy own_order on outbox;
drop policy everybodys on event_delivery;
drop policy with_their_order on order_ledger_items;
drop policy with_their_order on order_personal;
drop policy with_their_order on ledger_journal;
drop policy with_their_order on outbox;
drop policy all_clients on order_ledger;
drop policy all_clients on purged_order;
drop policy all_clients on order_ledger_items;
drop policy all_clients on order_personal;
drop policy all_clients on ledger_journal;
drop policy all_clients on outbox;
drop policy all_clients on event_delivery;
drop policy if exists as_before on order_ledger;
drop policy if exists as_before on purged_order;
drop policy if exists as_before on order_ledger_items;
drop policy if exists as_before on order_personal;
drop policy if exists as_before on ledger_journal;
drop policy if exists as_before on outbox;
drop policy if exists as_before on event_delivery;
alter table order_ledger disable row level security;
alter table purged_order disable row level security;
alter table order_ledger_items disable row level security;
alter table order_personal disable row level security;
alter table ledger_journal disable row level security;
alter table outbox disable row level security;
alter table event_delivery disable row level security;
drop view personal_data_held;
drop function count_orchestrators();
revoke all on all tables in schema public
    from sagaledger_auditor, sagaledger_edge, sagaledger_operator, sagaledger_orchestrator;
revoke all on all functions in schema public
    from sagaledger_auditor, sagaledger_edge, sagaledger_operator, sagaledger_orchestrator;
revoke all on schema public
    from sagaledger_auditor, sagaledger_edge, sagaledger_operator, sagaledger_orchestrator, sagaledger_owner;
grant execute on all functions in schema public to public;
revoke execute on function purge_orders(interval, integer), restart_feed() from public;
