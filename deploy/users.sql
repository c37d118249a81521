-- Who logs in to the server of compose.yaml: each process as itself, in the role that the migrations grant rights to
-- (`sql/roles.sql` says which these are). Run by psql once, when the server's folder is made; passwords come from the environment.
\set ON_ERROR_STOP on
\getenv migrations MIGRATIONS_PASSWORD
\getenv edge EDGE_PASSWORD
\getenv orchestrator ORCHESTRATOR_PASSWORD
\getenv operator OPERATOR_PASSWORD
\getenv auditor AUDITOR_PASSWORD
\getenv orders ORDERS_PASSWORD
\getenv inventory INVENTORY_PASSWORD
\getenv payments PAYMENTS_PASSWORD
\getenv shipping SHIPPING_PASSWORD
\getenv notifications NOTIFICATIONS_PASSWORD

-- Who migrates owns what it makes as nobody in person.
create role saga_migrations login password :'migrations' in role sagaledger_owner;
alter role saga_migrations set role = 'sagaledger_owner';
create role saga_edge login password :'edge' in role sagaledger_edge;
create role saga_orchestrator login password :'orchestrator' in role sagaledger_orchestrator;
create role saga_operator login password :'operator' in role sagaledger_operator;
create role saga_auditor login password :'auditor' in role sagaledger_auditor;
create role saga_orders login password :'orders' in role sagaledger_orders;
create role saga_inventory login password :'inventory' in role sagaledger_inventory;
create role saga_payments login password :'payments' in role sagaledger_payments;
create role saga_shipping login password :'shipping' in role sagaledger_shipping;
create role saga_notifications login password :'notifications' in role sagaledger_notifications;
-- Or `saga health` would not see orchestrators of other users.
grant pg_read_all_stats to sagaledger_owner;

create database sagaledger owner sagaledger_owner encoding 'UTF8' template template0;
create database sagaledger_orders owner sagaledger_owner encoding 'UTF8' template template0;
create database sagaledger_inventory owner sagaledger_owner encoding 'UTF8' template template0;
create database sagaledger_payments owner sagaledger_owner encoding 'UTF8' template template0;
create database sagaledger_shipping owner sagaledger_owner encoding 'UTF8' template template0;
create database sagaledger_notifications owner sagaledger_owner encoding 'UTF8' template template0;

-- Nobody connects to another's database.
revoke connect on database sagaledger, sagaledger_orders, sagaledger_inventory, sagaledger_payments, sagaledger_shipping,
    sagaledger_notifications from public;
grant connect on database sagaledger to sagaledger_edge, sagaledger_orchestrator, sagaledger_operator, sagaledger_auditor;
grant connect on database sagaledger_orders to sagaledger_orders, sagaledger_auditor;
grant connect on database sagaledger_inventory to sagaledger_inventory, sagaledger_auditor;
grant connect on database sagaledger_payments to sagaledger_payments, sagaledger_auditor;
grant connect on database sagaledger_shipping to sagaledger_shipping, sagaledger_auditor;
grant connect on database sagaledger_notifications to sagaledger_notifications, sagaledger_auditor;
