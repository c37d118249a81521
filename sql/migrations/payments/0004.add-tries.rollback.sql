-- What expired was let go: no money moves.
drop index payment_due;
alter table payment drop constraint payment_status_check, drop constraint expired_has_time, drop constraint expired_was_tried;
update payment set status = 'voided', voided_at = expired_at where status = 'expired';
alter table payment
    drop column expires_at,
    drop column expired_at,
    add constraint payment_status_check check (status in ('authorized', 'captured', 'voided', 'refunded'));
