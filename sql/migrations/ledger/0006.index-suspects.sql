-- Orders of which owner after owner let the lease run out: few, and found without reading everything that is due.
-- depends: 0005.add-retention

create index order_ledger_suspect on order_ledger (due_at) where due_at is not null and lapses > 0;
