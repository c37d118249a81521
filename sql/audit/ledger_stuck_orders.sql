-- title: Which orders need an operator, and why?
-- database: ledger
-- kind: question
-- a row means: this order is STUCK since then for that reason
select l.order_ledger_id, l.saga, l.customer_id, l.currency, l.total_minor, l.step, l.direction, j.at as stuck_since, j.reason,
    l.last_error
from order_ledger l
    left join lateral (select at, reason from ledger_journal
        where order_ledger_id = l.order_ledger_id and kind = 'status' and outcome = 'STUCK'
        order by seq desc limit 1) j on true
where l.status = 'STUCK' and l.due_at is null and l.finished_at is null -- the last two in the words of an index
order by j.at;
