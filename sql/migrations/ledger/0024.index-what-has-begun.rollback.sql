drop index order_ledger_begun;
alter table order_ledger drop column unbegun_epoch;
