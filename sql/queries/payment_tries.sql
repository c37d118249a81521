-- Money that is set aside for a time, unless it is confirmed.

-- name: try_payment
-- Sets money aside until the database's clock says otherwise.
insert into payment (authorization_id, order_id, amount_minor, currency, expires_at)
values (%(reservation_id)s, %(order_id)s, %(amount_minor)s, %(currency)s,
    clock_timestamp() + make_interval(secs => %(lifetime_s)s))
returning expires_at;

-- name: confirm_payment
-- Takes money that was tried. No row back: there is none, or its time is over, or it was let go.
update payment set status = 'captured', captured_at = clock_timestamp()
where authorization_id = %(reservation_id)s and order_id = coalesce(%(order_id)s::text, order_id)
  and status = 'authorized' and expires_at > clock_timestamp()
returning order_id, amount_minor;

-- name: expire_payments
-- Lets go of tries whose time is over, and logs it; what another process lets go, or somebody confirms at this moment, is
-- passed by. There is no key that asked for it.
with due as (
    select authorization_id
    from payment
    where status = 'authorized' and expires_at <= clock_timestamp()
    order by expires_at
    limit %(limit)s
    for update skip locked
), expired as (
    update payment set status = 'expired', expired_at = clock_timestamp()
    from due
    where payment.authorization_id = due.authorization_id
    returning payment.authorization_id, payment.order_id, payment.amount_minor
)
insert into effect (operation_key, order_id, kind, amounts)
select 'expiry:' || authorization_id, order_id, 'expired', jsonb_build_object('authorized', -amount_minor)
from expired;
