-- An order has one unfinished child at most: nobody pays for what somebody else is cancelling. A child that is STUCK counts: only
-- an operator knows what became of it.
-- depends: 0011.configure-sagas

create unique index order_ledger_one_child on order_ledger (parent_id) where parent_id is not null and finished_at is null;
