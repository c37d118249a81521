-- title: Which orders are on hold, since when and why?
-- database: ledger
-- kind: question
-- a row means: an operator has paused this order since then, and nothing of it happens before it is resumed
select l.order_ledger_id, l.saga, l.status, l.customer_id, l.currency, l.total_minor, l.step, l.direction, l.paused_at,
    clock_timestamp() - l.paused_at as paused_for, j.actor, j.reason
from order_ledger l
    left join lateral (select actor, reason from ledger_journal
        where order_ledger_id = l.order_ledger_id and kind = 'operator' and outcome = 'pause'
        order by seq desc limit 1) j on true
where l.paused_at is not null and l.due_at is null and l.finished_at is null -- the last two in the words of an index
order by l.paused_at;
