-- The roles that the migrations grant rights to. `saga migrate` makes them itself where its user may make roles (a superuser or
-- CREATEROLE); where it may not, a superuser runs this file once a server, by `psql -f`, before the migrations.
--
-- Nobody logs in as one of them. Each process gets a user of its own in the role, with a password that only its address holds:
--     create role shop_edge login password '…' in role sagaledger_edge;
--     create role shop_orchestrator login password '…' in role sagaledger_orchestrator;
--     create role shop_payments login password '…' in role sagaledger_payments;
--     create role shop_operator login password '…' in role sagaledger_operator;     -- people's commands
--     create role shop_auditor login password '…' in role sagaledger_auditor;       -- `saga audit`
-- Who migrates owns what it makes. So that it belongs to nobody in person:
--     create role shop_migrations login password '…' in role sagaledger_owner;
--     alter role shop_migrations set role = 'sagaledger_owner';
--     create database sagaledger owner sagaledger_owner encoding 'UTF8' template template0;  -- and the participants' likewise
create role sagaledger_owner nologin;
create role sagaledger_edge nologin;
create role sagaledger_orchestrator nologin;
create role sagaledger_operator nologin;
create role sagaledger_auditor nologin;
create role sagaledger_orders nologin;
create role sagaledger_inventory nologin;
create role sagaledger_payments nologin;
create role sagaledger_shipping nologin;
create role sagaledger_notifications nologin;
-- Apart from its making, so that running this again mends one that was there.
grant sagaledger_edge, sagaledger_orchestrator to sagaledger_operator;
