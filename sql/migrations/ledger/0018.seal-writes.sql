-- The hash chain of the journal at less than half its price: one hash for all entries that are written of an order at once, over
-- the JSON that they come in, instead of one for each over a text made of its columns.
-- depends: 0016.add-roles 0017.erase-personal-data

-- The last entry of a write bears its hash, those before it an empty one. Entries from before, and those of functions that
-- append one alone, have a hash each by `journal_chain`; both kinds may follow each other in one journal, since either goes on
-- from the hash before it. `sql/audit/ledger_chain_intact.sql` knows both.
comment on column ledger_journal.hash is
    'over what was written with this entry, this one last, and over the hash before; empty: the next that is not covers it';

-- `head`: the hash before, null where there is none; `last_seq`: the position before; all else is what is written. PostgreSQL's
-- binary form of each value, texts as UTF-8 whatever a session's own encoding is; jsonb writes equal values the same way.
create function journal_seal(head bytea, order_ledger_id uuid, last_seq integer, at timestamptz, replica text,
        lease_epoch bigint, entries jsonb)
    returns bytea language sql stable parallel safe as
$$ select sha256(coalesce(head, ''::bytea) || uuid_send(order_ledger_id) || int4send(last_seq) || timestamptz_send(at)
        || int8send(lease_epoch) || int4send(length(replica)) || convert_to(replica, 'UTF8') || convert_to(entries::text, 'UTF8')) $$;

-- An entry as its writer gave it: without what is null, without round 1, and with a fraction in every duration.
create function journal_entry_given(kind text, step text, direction text, round integer, attempt integer, outcome text,
        request jsonb, response jsonb, error text, duration_ms double precision, actor text, reason text)
    returns jsonb language sql immutable parallel safe as
$$ select jsonb_build_object('kind', kind, 'step', step, 'direction', direction, 'round', round, 'attempt', attempt,
            'outcome', outcome, 'request', request, 'response', response, 'error', error, 'duration_ms',
            case when duration_ms = trunc(duration_ms) then trunc(duration_ms::text::numeric, 1)
                else duration_ms::text::numeric end,
            'actor', actor, 'reason', reason)
        - array_remove(array[case when step is null then 'step' end, case when direction is null then 'direction' end,
            case when round = 1 then 'round' end, case when attempt is null then 'attempt' end,
            case when outcome is null then 'outcome' end, case when request is null then 'request' end,
            case when response is null then 'response' end, case when error is null then 'error' end,
            case when duration_ms is null then 'duration_ms' end, case when actor is null then 'actor' end,
            case when reason is null then 'reason' end], null) $$;

-- Who writes entries computes hashes, who audits computes them again.
revoke execute on function journal_seal(bytea, uuid, integer, timestamptz, text, bigint, jsonb), journal_entry_given(text, text,
    text, integer, integer, text, jsonb, jsonb, text, double precision, text, text) from public;
grant execute on function journal_seal(bytea, uuid, integer, timestamptz, text, bigint, jsonb)
    to sagaledger_auditor, sagaledger_edge, sagaledger_orchestrator;
grant execute on function journal_digest(bytea, bytea, text), journal_entry_given(text, text, text, integer, integer, text,
    jsonb, jsonb, text, double precision, text, text) to sagaledger_auditor, sagaledger_operator;

-- Users that were given rights by name, see 0016, write entries too.
do $$
declare
    users constant text := (
        select string_agg(distinct a.grantee::regrole::text, ', ')
        from pg_class c cross join aclexplode(c.relacl) a
        where c.oid in ('order_ledger'::regclass, 'ledger_journal'::regclass, 'outbox'::regclass)
            and a.grantee not in (0, c.relowner) and a.grantee::regrole::text !~ '^sagaledger_');
begin
    if users is not null then
        execute format('grant execute on routine journal_seal to %s', users);
    end if;
end $$;
