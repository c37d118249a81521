-- The run-time registry: where the participants of this installation are.

-- name: register_participant
-- Notes where a participant is, or that it has moved; limits that are not given stay as they are.
insert into participant (name, address, limits) values (%(name)s, %(address)s, coalesce(%(limits)s::jsonb, '{}'))
on conflict (name) do update set address = excluded.address, limits = coalesce(%(limits)s::jsonb, participant.limits),
    updated_at = clock_timestamp();

-- name: unregister_participant
-- Forgets where a participant is; its breaker's row stays, so that a hold outlives it.
delete from participant where name = %(name)s returning name;

-- name: list_participants
-- Where each participant is.
select name, address from participant order by name;
