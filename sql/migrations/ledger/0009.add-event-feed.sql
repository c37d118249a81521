-- What the feed of events needs to be honest: how far retention has removed events, and a way to go on after a dump was
-- restored into another server.
-- depends: 0006.index-suspects

-- The newest event that was ever removed, as a position in the feed: a reader who stands before it may have missed some.
create table outbox_removed (
    one_row boolean primary key default true check (one_row),
    transaction_id xid8 not null default '0',
    ordinal bigint not null default 0
);
insert into outbox_removed default values;

-- A trigger, not a part of purge_orders: whoever deletes events, readers are told.
create function note_removed_events() returns trigger
    language plpgsql security definer set search_path = public, pg_temp as
$$
declare
    newest record;
begin
    select r.transaction_id, r.ordinal into newest from removed r order by r.transaction_id desc, r.ordinal desc limit 1;
    update outbox_removed o set transaction_id = newest.transaction_id, ordinal = newest.ordinal
    where (o.transaction_id, o.ordinal) < (newest.transaction_id, newest.ordinal);
    return null;
end
$$;
create trigger outbox_note_removed after delete on outbox referencing old table as removed
    for each statement execute function note_removed_events();

-- To be called once after a dump was restored into another server. Its transaction ids are other ones, mostly lower: new
-- events would stand before old ones, where no reader looks again. Here all that are there come before everything new (no
-- transaction has the id 1), in the order of their ordinals, which is the order of each order's events too. Cursors from
-- before are refused from then on. Returns how many events there are.
create function restart_feed() returns bigint
    language plpgsql set search_path = public, pg_temp as
$$
declare
    events bigint;
begin
    update outbox set transaction_id = '1';
    get diagnostics events = row_count;
    update outbox_removed set transaction_id = '0', ordinal = 0;
    return events;
end
$$;
revoke execute on function restart_feed() from public;
