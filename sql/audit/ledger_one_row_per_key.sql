-- title: One row per client and key
-- database: ledger
-- kind: invariant
-- invariant: I5
-- a row means: this client's key stands for more than one order, so a repeated request may have been carried out twice
select client_id, client_request_id, count(*) as orders, array_agg(order_ledger_id order by created_at) as order_ledger_ids
from order_ledger
group by client_id, client_request_id
having count(*) > 1;
