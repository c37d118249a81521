drop function restart_feed();
drop trigger outbox_note_removed on outbox;
drop function note_removed_events();
drop table outbox_removed;
