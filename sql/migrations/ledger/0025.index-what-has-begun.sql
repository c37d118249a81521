-- What has begun, found however much waits beside it to begin. Every order is read once for it; meanwhile orders are read, but not
-- written. In the file of the column, they would not be read either: its lock would last as long.
-- depends: 0024.note-what-has-not-begun
create index order_ledger_begun on order_ledger (due_at)
    where due_at is not null and unbegun_epoch is distinct from lease_epoch;
