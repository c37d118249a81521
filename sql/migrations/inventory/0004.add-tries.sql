-- Reservations that expire unless they are confirmed: the tries of a try-confirm-cancel.
-- depends: 0003.index-fence-keys

-- tried ─ confirm ▶ held ─ release, cancel ▶ released;  tried ─ cancel ▶ released;  tried ─ time ▶ expired
alter table reservation
    add column expires_at   timestamptz,                        -- of a try, whatever became of it; else null
    add column confirmed_at timestamptz,
    add column held_for     text references reservation,        -- whose plain reservation holds the goods; this has no lines
    drop constraint reservation_status_check,
    drop constraint released_has_time,
    add constraint reservation_status_check check (status in ('tried', 'held', 'released', 'expired')),
    add constraint released_has_time check ((status in ('released', 'expired')) = (released_at is not null)),
    add constraint tried_expires check (status not in ('tried', 'expired') or expires_at is not null),
    add constraint tried_is_unconfirmed check (status not in ('tried', 'expired') or confirmed_at is null);

create index reservation_due on reservation (expires_at) where status = 'tried';
