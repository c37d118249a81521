-- API keys: which client a key belongs to, and what it allows. Keys are never removed; they end. Times that are judged in a
-- process leave as durations, so that the database's clock is the only one.

-- name: insert_key
-- A key that holds for so many seconds from now, or, with null, for ever.
insert into api_key (key_id, secret_hash, client_id, scopes, note, replaces, expires_at)
values (%(key_id)s, %(secret_hash)s, %(client_id)s, %(scopes)s::text[], %(note)s, %(replaces)s,
    clock_timestamp() + make_interval(secs => %(lasts_s)s::double precision))
returning expires_at;

-- name: lock_key
-- A key that is about to be ended or replaced. `lasts_s` is how long it was made for; null for ever. Whether it holds is
-- asked of the clock, since the lock may have been waited for.
select client_id, scopes, note, revoked_at is not null as revoked,
    revoked_at is null and coalesce(expires_at > clock_timestamp(), true) as in_force,
    extract(epoch from expires_at - created_at)::double precision as lasts_s
from api_key where key_id = %(key_id)s
for update;

-- name: find_replacement
-- The key that took the place of another; asked after that one is locked, so that none comes between.
select key_id from api_key where replaces = %(key_id)s order by created_at limit 1;

-- name: end_key
-- Ends so many seconds from now, or sooner if it was to.
update api_key set expires_at = least(expires_at, clock_timestamp() + make_interval(secs => %(overlap_s)s))
where key_id = %(key_id)s
returning expires_at;

-- name: revoke_key
-- Ends now; when that was stays as it was said first.
update api_key set revoked_at = coalesce(revoked_at, clock_timestamp()) where key_id = %(key_id)s;

-- name: list_keys
-- Keys by client, the newest first; nothing of their secrets.
select key_id, client_id, scopes, note, created_at, replaces, expires_at, revoked_at, last_used_at,
    case when revoked_at is not null then 'revoked' when expires_at <= clock_timestamp() then 'expired' else 'in force' end
        as state
from api_key
where %(client_id)s::text is null or client_id = %(client_id)s::text
order by client_id, created_at desc, key_id;

-- name: read_keys
-- Every key where something changed since a version of them, and the version; else one row without a key: then the table of
-- keys is not looked at. `lasts_s` is how long one still holds: null for ever, 0 for one that does not.
select v.version, k.key_id, k.secret_hash, k.client_id, k.scopes, k.lasts_s
from api_key_version v left join lateral (
    select key_id, secret_hash, client_id, scopes,
        case when revoked_at is not null then 0 when expires_at is null then null
             else greatest(extract(epoch from expires_at - clock_timestamp()), 0) end::double precision as lasts_s
    from api_key where v.version is distinct from %(version)s::bigint) k on true;

-- name: touch_keys
-- Notes that keys were used; one that was noted by another edge just now is left alone.
update api_key set last_used_at = clock_timestamp()
where key_id = any (%(key_ids)s::text[])
    and (last_used_at is null or last_used_at < clock_timestamp() - make_interval(secs => %(apart_s)s));
