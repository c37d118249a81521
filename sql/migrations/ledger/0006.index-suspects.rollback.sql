drop index order_ledger_suspect;
