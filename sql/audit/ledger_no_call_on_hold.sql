-- title: What is on hold makes no call
-- database: ledger
-- kind: invariant
-- a row means: this call was intended while an operator had the order on hold; or, without a seq, the order's row and its journal
--     do not agree on whether it is on hold
with held as (
    select p.order_ledger_id, p.seq as paused_seq, e.seq as ended_seq
    from ledger_journal p
        left join lateral (select min(seq) as seq from ledger_journal
            where order_ledger_id = p.order_ledger_id and seq > p.seq and (kind = 'operator' and outcome = 'resume'
                or kind = 'status' and outcome in ('STUCK', 'COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED'))) e on true
    where p.kind = 'operator' and p.outcome = 'pause'
)
select h.order_ledger_id, j.seq, j.step, j.direction, j.round, j.attempt
from held h join ledger_journal j on j.order_ledger_id = h.order_ledger_id and j.kind = 'intent' and j.seq > h.paused_seq
    and (h.ended_seq is null or j.seq < h.ended_seq)
union all
select l.order_ledger_id, null, l.step, l.direction, null, null
from order_ledger l left join held h on h.order_ledger_id = l.order_ledger_id and h.ended_seq is null
where (l.paused_at is null) <> (h.order_ledger_id is null);
