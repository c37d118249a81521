-- Whoever follows the changes of all orders reads the newest part of the journal some times a second. For `*`, which sees every
-- order, the policy looked for the order of each entry all the same; now it says so first, as that of the outbox does.
-- depends: 0019.let-orders-be-paused

alter policy own_order on ledger_journal
    using (current_setting('saga.client_id', true) = '*'
           or exists (select from order_ledger l where l.order_ledger_id = ledger_journal.order_ledger_id));
