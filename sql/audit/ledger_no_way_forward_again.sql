-- title: What is being undone does not go forward again
-- database: ledger
-- kind: invariant
-- invariant: I13
-- a row means: this action was intended after the first compensation of the same round
select j.order_ledger_id, j.seq, j.step, j.round, j.attempt, u.first_undo_seq
from ledger_journal j
    join (select order_ledger_id, round, min(seq) as first_undo_seq
          from ledger_journal where kind = 'intent' and direction = 'compensation'
          group by order_ledger_id, round) u using (order_ledger_id, round)
where j.kind = 'intent' and j.direction = 'action' and j.seq > u.first_undo_seq;
