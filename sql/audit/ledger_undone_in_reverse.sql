-- title: Compensations run in reverse order
-- database: ledger
-- kind: invariant
-- invariant: I11
-- a row means: the later of these two steps was begun to be undone after the earlier one
with begun as (
    -- By first intents: a compensation that failed for good is taken up again by an operator after the earlier ones.
    select order_ledger_id, step, min(seq) filter (where direction = 'action') as action_seq,
        min(seq) filter (where direction = 'compensation') as compensation_seq
    from ledger_journal
    where kind = 'intent'
    group by order_ledger_id, step
    having count(*) filter (where direction = 'compensation') > 0
)
select a.order_ledger_id, a.step as earlier_step, b.step as later_step, a.action_seq as earlier_action_seq,
    b.action_seq as later_action_seq, a.compensation_seq as earlier_undo_seq, b.compensation_seq as later_undo_seq
from begun a join begun b on b.order_ledger_id = a.order_ledger_id
    and a.action_seq < b.action_seq and a.compensation_seq < b.compensation_seq;
