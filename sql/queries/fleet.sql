-- What the fleet shares of its participants: where they are, and how their breakers stand. Times leave and enter as
-- durations, so that the database's clock is the only one.

-- name: list_fleet
-- Every participant that is registered or has a breaker. One without a breaker's row was never reported on: closed. On every
-- row, and on one without a participant where there is none, whether a saga's configuration is being tried on a share.
select t.has_canary, coalesce(p.name, b.participant) as participant, p.address, coalesce(p.limits, '{}') as limits,
    coalesce(b.state, 'closed') as state, coalesce(b.recent, '') as recent,
    coalesce(extract(epoch from clock_timestamp() - b.opened_at), 0)::double precision as opened_for_s,
    greatest(coalesce(extract(epoch from b.probe_expires_at - clock_timestamp()), 0), 0)::double precision as trial_left_s,
    b.actor, b.reason, b.updated_at
from (select exists (select from saga_config where state = 'canary') as has_canary) t
    left join (participant p full join participant_breaker b on b.participant = p.name) on true
order by 2;

-- name: lock_breaker
-- A breaker's row, made if need be and locked, so that of all replicas one decides at a time.
insert into participant_breaker as b (participant) values (%(participant)s)
on conflict (participant) do update set participant = excluded.participant
returning b.state, b.recent,
    coalesce(extract(epoch from clock_timestamp() - b.opened_at), 0)::double precision as opened_for_s,
    greatest(coalesce(extract(epoch from b.probe_expires_at - clock_timestamp()), 0), 0)::double precision as trial_left_s,
    b.actor, b.reason;

-- name: write_breaker
-- What was decided on a locked row. One that is open stays open since when it was; one that opens does so now.
update participant_breaker set state = %(state)s, recent = %(recent)s, actor = %(actor)s, reason = %(reason)s,
    opened_at = case when %(state)s = 'open' then case when state = 'open' then opened_at else clock_timestamp() end end,
    probe_expires_at = case when %(state)s = 'half_open' then clock_timestamp() + make_interval(secs => %(trial_left_s)s) end,
    updated_at = clock_timestamp()
where participant = %(participant)s;

-- name: list_orchestrators
-- The sessions that orchestrators have now: one row a replica, and one a session of theirs that listens, since when it does.
-- By a function, because sessions of other users show their names only to whom the server trusts with that.
select application_name, extract(epoch from clock_timestamp() - since)::double precision as age_s
from list_orchestrators() order by application_name, since;
