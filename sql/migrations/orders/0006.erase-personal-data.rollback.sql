revoke update (request_hash) on fence from sagaledger_orders;
drop table customer_change;
