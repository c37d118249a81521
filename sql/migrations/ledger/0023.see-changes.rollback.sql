alter policy own_order on ledger_journal
    using (exists (select from order_ledger l where l.order_ledger_id = ledger_journal.order_ledger_id));
