revoke update (results) on order_personal from sagaledger_edge;
drop function erase_orders(uuid[], text, text);
delete from order_personal where data = '{}';
alter table order_personal alter column data drop default, drop column results;
