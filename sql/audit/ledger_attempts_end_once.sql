-- title: Every attempt ends, once
-- database: ledger
-- kind: invariant
-- invariant: I9
-- a row means: this attempt was closed more than once, or not at all though the order is finished
select i.order_ledger_id, l.status, i.step, i.direction, i.round, i.attempt, i.seq, count(e.seq) as endings
from ledger_journal i
    join order_ledger l using (order_ledger_id)
    left join ledger_journal e on e.kind in ('outcome', 'takeover') and e.order_ledger_id = i.order_ledger_id
        and e.step = i.step and e.direction = i.direction and e.round = i.round and e.attempt = i.attempt
where i.kind = 'intent'
group by i.order_ledger_id, i.seq, l.status, l.finished_at
having count(e.seq) > 1 or (count(e.seq) = 0 and l.finished_at is not null);
