-- title: How many orders stand where, by day of receipt?
-- database: ledger
-- kind: question
-- a row means: so many orders of that day (UTC), saga, status and currency, and their worth
select (created_at at time zone 'UTC')::date as day, saga, status, currency, count(*) as orders,
    sum(total_minor) as total_minor
from order_ledger
group by 1, 2, 3, 4
order by 1 desc, 2, 3, 4;
