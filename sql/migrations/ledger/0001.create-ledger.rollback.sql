drop table outbox, ledger_journal, order_ledger_items, order_personal, order_ledger, saga_definition;
drop aggregate journal_chain(bytea, text);
drop function journal_digest(bytea, bytea, text);
drop function journal_entry_text(uuid, integer, timestamptz, text, text, text, integer, integer, text, jsonb, jsonb, text,
    double precision, text, bigint, text, text);
drop function refuse_change();
