-- What is tried stays held, and what expired was given back: no stock changes.
drop index reservation_due;
alter table reservation
    drop constraint reservation_status_check,
    drop constraint released_has_time,
    drop constraint tried_expires,
    drop constraint tried_is_unconfirmed;
update reservation set status = case status when 'tried' then 'held' else 'released' end where status in ('tried', 'expired');
alter table reservation
    drop column expires_at,
    drop column confirmed_at,
    drop column held_for,
    add constraint reservation_status_check check (status in ('held', 'released')),
    add constraint released_has_time check ((status = 'released') = (released_at is not null));
