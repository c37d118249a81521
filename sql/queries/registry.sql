-- The run-time registry: where the participants of this installation are.

-- name: register_participant
-- Notes where a participant is, or that it has moved.
insert into participant (name, address) values (%(name)s, %(address)s)
on conflict (name) do update set address = excluded.address, updated_at = clock_timestamp();

-- name: list_participants
-- Where each participant is.
select name, address from participant order by name;
