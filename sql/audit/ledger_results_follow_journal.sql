-- title: Results are the answers of the steps that succeeded, and those from outside
-- database: ledger
-- kind: invariant
-- a row means: the order's results have an answer for this step that its journal has not, or the other way round
with result as (
    select l.order_ledger_id, r.key as step, r.value as result
    from order_ledger l cross join lateral jsonb_each(l.results) r
), answer as (
    select order_ledger_id, step, response
    from ledger_journal
    where kind = 'outcome' and outcome = 'succeeded' and direction = 'action' and response is not null
        or kind = 'operator' and outcome = 'signal'
)
select order_ledger_id, step, result, response as in_journal
from result full join answer using (order_ledger_id, step)
where result is distinct from response;
