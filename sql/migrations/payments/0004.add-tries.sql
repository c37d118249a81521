-- Money that is set aside only for a time: the tries of a try-confirm-cancel.
-- depends: 0003.index-fence-keys

alter table payment
    add column expires_at timestamptz,                          -- of a try, whatever became of it; else null
    add column expired_at timestamptz,
    drop constraint payment_status_check,
    add constraint payment_status_check check (status in ('authorized', 'captured', 'voided', 'refunded', 'expired')),
    add constraint expired_has_time check ((status = 'expired') = (expired_at is not null)),
    add constraint expired_was_tried check (status <> 'expired' or expires_at is not null);

create index payment_due on payment (expires_at) where status = 'authorized' and expires_at is not null;
