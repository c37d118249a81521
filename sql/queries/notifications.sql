-- Messages to customers.

-- name: send_notification
-- Records that a message went out.
insert into notification (notification_id, order_id, customer_id, template, reference)
values (%(notification_id)s, %(order_id)s, %(customer_id)s, %(template)s, %(reference)s);

-- name: list_notifications
-- Reads what was sent about an order, oldest first.
select notification_id, order_id, customer_id, template, reference, 'sent' as status, sent_at
from notification
where order_id = %(order_id)s
order by sent_at, notification_id
limit 1000;
