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

-- name: erase_personal
-- Erases by what a person's deliveries can be followed; in how many messages.
with forgotten as (
    update notification set reference = null
    where order_id = any (%(order_ids)s::text[]) and reference is not null
    returning notification_id
), told as (
    update fence f set request_hash = null
    from notification n
    where n.order_id = any (%(order_ids)s::text[]) and f.subject = 'notification/' || n.notification_id
        and f.operation = 'action' and f.request_hash is not null
)
select count(*) from forgotten;
