-- title: What happened to one order?
-- database: ledger
-- kind: question
-- a row means: one entry of the order's journal, oldest first. The order is chosen by
--     PGOPTIONS="-c audit.order=UUID" psql -f ledger_order_history.sql; without it, the newest order
with chosen as (
    select order_ledger_id, created_at
    from order_ledger
    where order_ledger_id = coalesce(nullif(current_setting('audit.order', true), '')::uuid,
        (select order_ledger_id from order_ledger order by created_at desc, order_ledger_id desc limit 1))
)
select j.order_ledger_id, j.seq, j.at, round(extract(epoch from j.at - c.created_at), 3) as after_s, j.kind, j.step,
    j.direction, j.round, j.attempt, j.outcome, j.duration_ms, j.error, j.actor, j.reason, j.replica, j.lease_epoch,
    j.request, j.response
from chosen c join ledger_journal j using (order_ledger_id)
order by j.seq;
