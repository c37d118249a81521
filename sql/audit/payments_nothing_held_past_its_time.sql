-- title: No try holds money past its time
-- database: payments
-- kind: invariant
-- invariant: I18
-- a row means: this try should have been let go more than 60 s ago; no process of the service is at work, or it fails
select authorization_id, order_id, amount_minor, expires_at, clock_timestamp() - expires_at as overdue
from payment
where status = 'authorized' and expires_at < clock_timestamp() - interval '60 s';
