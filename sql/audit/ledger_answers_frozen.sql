-- title: What was answered stays answered
-- database: ledger
-- kind: invariant
-- invariant: I5
-- a row means: a repeat of this order's request would not get the answer that its client got, or one that is not true
with answered as (
    -- The edge writes the outcome of its own call, under epoch 1, in one statement with the answer.
    select distinct order_ledger_id from ledger_journal where kind = 'outcome' and lease_epoch = 1
)
select l.order_ledger_id, l.status, l.response_status, problem
from order_ledger l left join answered a using (order_ledger_id)
    cross join lateral (values
        (a.order_ledger_id is not null and l.response_status is null, 'the edge ended its call and kept no answer'),
        ((l.response_status is null) <> (l.response_body is null), 'half an answer is kept'),
        (position(l.order_ledger_id::text in l.response_body) = 0, 'the answer names another order or none'),
        (l.response_status = 402 and l.status <> 'DECLINED', 'declined to its client, and not DECLINED'),
        (l.response_status not in (200, 202, 402), 'no answer that an order is given for keeps')
    ) as checked (violated, problem)
where violated;
