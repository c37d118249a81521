-- title: Which unfinished orders are the oldest?
-- database: ledger
-- kind: question
-- a row means: this order has not ended; the hundred oldest are shown
select order_ledger_id, clock_timestamp() - created_at as age, saga, status, step, direction, retry_count, next_retry_at,
    lease_owner, lease_expires_at, last_error
from order_ledger
where finished_at is null
order by created_at
limit 100;
