drop function purge_orders(interval, integer);
drop index event_delivery_event;
drop trigger ledger_journal_no_delete on ledger_journal;
drop trigger ledger_journal_append_only on ledger_journal;
create trigger ledger_journal_append_only before update or delete on ledger_journal
    for each row execute function refuse_change();
drop table purged_order;
drop function refuse_unrecorded_delete();
