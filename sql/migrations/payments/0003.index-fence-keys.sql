-- An operation is asked for by its key: compensations, and the tombstones that a compensation left.
-- depends: 0002.create-payments

-- Actions that were done are in fence_action_key already, so the hot path writes no second index.
create index fence_undo_key on fence (idempotency_key) where operation = 'compensation' or reason = 'undone';
