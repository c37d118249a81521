drop index order_ledger_begun;
