-- title: Messages are what the log of effects says
-- database: notifications
-- kind: invariant
-- a row means: about this order other messages were sent than the log of effects adds up to
with stands as (
    select order_id, count(*) as sent from notification group by order_id
), logged as (
    select order_id, sum((amounts ->> 'notifications')::bigint) as sent from effect group by order_id
)
select order_id, coalesce(s.sent, 0) as sent, coalesce(l.sent, 0) as sent_in_log
from stands s full join logged l using (order_id)
where coalesce(s.sent, 0) <> coalesce(l.sent, 0);
