alter table order_ledger drop column unbegun_epoch;
