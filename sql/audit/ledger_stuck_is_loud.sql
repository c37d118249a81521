-- title: A stuck order says why
-- database: ledger
-- kind: invariant
-- invariant: I19
-- a row means: this order needs an operator, and neither its journal gives the reason nor was an event written
select l.order_ledger_id, l.updated_at, l.last_error
from order_ledger l
where l.status = 'STUCK' and not (
    exists (select from ledger_journal j where j.order_ledger_id = l.order_ledger_id and j.kind = 'status'
        and j.outcome = 'STUCK' and btrim(j.reason) <> '')
    and exists (select from outbox o where o.aggregateid = l.order_ledger_id and o.type = 'OrderStuck'));
