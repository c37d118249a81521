-- Rows of the fence outlive everything: without its tombstone an action that comes late would be done after its undo.
-- depends: 0003.index-fence-keys

create function refuse_removal() returns trigger language plpgsql as $$
begin
    raise exception 'rows of table % are never removed', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger fence_is_kept before delete or truncate on fence for each statement execute function refuse_removal();
