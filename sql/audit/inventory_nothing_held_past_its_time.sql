-- title: No try holds stock past its time
-- database: inventory
-- kind: invariant
-- invariant: I18
-- a row means: this try should have been given back more than 60 s ago; no process of the service is at work, or it fails
select order_id, expires_at, clock_timestamp() - expires_at as overdue
from reservation
where status = 'tried' and expires_at < clock_timestamp() - interval '60 s';
