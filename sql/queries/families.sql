-- Orders with what was begun on them: each a row of its own with their `parent_id`. Nothing is begun on an order, and no
-- order leaves COMPLETED, but by who has locked its row.

-- name: lock_parent
-- Locks an order until the transaction ends; who else would begin something on it waits. What is read of its children before
-- that may be out of date: they are read by a statement of their own.
select client_id from order_ledger where order_ledger_id = %(order_ledger_id)s for no key update;

-- name: list_children
-- What was begun on an order, oldest first.
select order_ledger_id, saga, status, created_at from order_ledger
where parent_id = %(order_ledger_id)s
order by created_at, order_ledger_id;
