-- Money set aside, taken, given back.

-- name: authorize_payment
-- Sets money aside.
insert into payment (authorization_id, order_id, amount_minor, currency)
values (%(authorization_id)s, %(order_id)s, %(amount_minor)s, %(currency)s);

-- name: lock_payment
-- Reads where the money is and keeps it there until the transaction ends.
select authorization_id, order_id, amount_minor, status, expires_at is not null as is_try
from payment
where authorization_id = %(authorization_id)s
for update;

-- name: capture_payment
-- Takes money that was set aside.
update payment set status = 'captured', captured_at = clock_timestamp()
where authorization_id = %(authorization_id)s and status = 'authorized';

-- name: void_payment
-- Lets go of money that was set aside.
update payment set status = 'voided', voided_at = clock_timestamp()
where authorization_id = %(authorization_id)s and status = 'authorized';

-- name: refund_payment
-- Gives back money that was taken.
update payment set status = 'refunded', refunded_at = clock_timestamp()
where authorization_id = %(authorization_id)s and status = 'captured';

-- name: erase_personal
-- Erases what tells with which payment method orders were paid, which is kept nowhere else; of how many payments.
with told as (
    update fence f set request_hash = null
    from payment p
    where p.order_id = any (%(order_ids)s::text[]) and f.subject = 'authorization/' || p.authorization_id
        and f.operation = 'action' and f.request_hash is not null
    returning f.subject
)
select count(*) from told;
