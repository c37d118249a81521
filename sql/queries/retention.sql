-- Retention of finished orders.

-- name: purge_orders
-- Removes a batch of the oldest orders that finished so many days ago; how many it removed.
select purge_orders(make_interval(secs => %(older_than_days)s * 86400.0), %(orders_max)s);

-- name: count_purgeable
-- How many orders finished so many days ago, and when the oldest of them was created.
select count(*)::bigint, min(created_at)
from order_ledger
where created_at < clock_timestamp() - make_interval(secs => %(older_than_days)s * 86400.0)
    and finished_at < clock_timestamp() - make_interval(secs => %(older_than_days)s * 86400.0);
