drop index ledger_journal_at, order_ledger_ended, order_ledger_client;
