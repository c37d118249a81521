-- title: No goods are sent for before their payment was taken
-- database: ledger
-- kind: invariant
-- a row means: a shipment was asked for at this position of the journal, and no capture of the payment had succeeded before
select s.order_ledger_id, s.seq, s.at
from ledger_journal s
where s.kind = 'intent' and s.step = 'schedule_shipping' and s.direction = 'action'
    and exists (select from order_ledger l
                where l.order_ledger_id = s.order_ledger_id and l.saga = 'deliver_order')
    and not exists (select from ledger_journal p
                    where p.order_ledger_id = s.order_ledger_id and p.step = 'capture_payment' and p.direction = 'action'
                        and p.outcome = 'succeeded' and p.seq < s.seq)
    -- Unless an operator had it go on without.
    and not exists (select from ledger_journal o
                    where o.order_ledger_id = s.order_ledger_id and o.step = 'capture_payment' and o.kind = 'operator'
                        and o.outcome = 'skip' and o.seq < s.seq);
