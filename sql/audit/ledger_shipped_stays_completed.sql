-- title: An order whose goods have left is never cancelled
-- database: ledger
-- kind: invariant
-- a row means: this order is CANCELLED, although the shipping service had answered at this position of the journal of the saga
--     that took it back that its goods have left
select c.parent_id as order_ledger_id, l.status, c.order_ledger_id as taken_back_by, j.seq, j.step, j.outcome, j.response
from order_ledger c
    join order_ledger l on l.order_ledger_id = c.parent_id
    join ledger_journal j on j.order_ledger_id = c.order_ledger_id and j.kind = 'outcome'
        and j.step in ('check_cancellable', 'cancel_shipment')
where c.saga = 'cancel_order' and l.status = 'CANCELLED' and c.status = 'COMPLETED'
    and (j.outcome = 'rejected' or j.response ->> 'status' = 'shipped');
