-- title: Every order was announced with its row
-- database: ledger
-- kind: invariant
-- invariant: I6
-- a row means: this order has no event OrderReceived, or more than one: row and event were not written together
select l.order_ledger_id, l.created_at, count(o.id) as received_events
from order_ledger l left join outbox o on o.aggregateid = l.order_ledger_id and o.type = 'OrderReceived'
group by l.order_ledger_id
having count(o.id) <> 1;
