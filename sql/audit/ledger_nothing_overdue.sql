-- title: Nothing is overdue
-- database: ledger
-- kind: invariant
-- invariant: I16
-- a row means: this order could have been taken by an orchestrator for more than 60 s and was not: none runs, none has
--     the code of its definition, or they are too few
select order_ledger_id, saga, definition_id, status, due_at, clock_timestamp() - due_at as overdue
from order_ledger
where due_at < clock_timestamp() - interval '60 s'
order by due_at;
