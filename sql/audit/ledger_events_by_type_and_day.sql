-- title: How many events were written, by type and day?
-- database: ledger
-- kind: question
-- a row means: so many events of that type were written on that day (UTC)
select (created_at at time zone 'UTC')::date as day, type, count(*) as events
from outbox
group by 1, 2
order by 1 desc, 2;
