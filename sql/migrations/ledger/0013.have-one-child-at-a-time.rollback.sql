drop index order_ledger_one_child;
