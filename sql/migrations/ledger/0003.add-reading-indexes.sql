-- Indexes for reading: a client's own orders, and what ended or was tried lately.
-- depends: 0002.create-fleet

create index order_ledger_client on order_ledger (client_id, created_at desc, order_ledger_id desc);
create index order_ledger_ended on order_ledger (finished_at) where finished_at is not null;
-- The journal is appended to in the order of its times: a block range index finds the last hour and costs next to nothing.
create index ledger_journal_at on ledger_journal using brin (at) with (pages_per_range = 32, autosummarize = on);
