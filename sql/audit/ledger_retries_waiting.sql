-- title: Which orders wait for a retry?
-- database: ledger
-- kind: question
-- a row means: this order's step is tried again at that time
select order_ledger_id, saga, status, step, direction, retry_count, next_retry_at, next_retry_at - clock_timestamp() as waits,
    last_error
from order_ledger
where finished_at is null and status <> 'STUCK' and next_retry_at > clock_timestamp()
order by next_retry_at;
