-- title: The journal's hash chain is intact
-- database: ledger
-- kind: invariant
-- a row means: from this entry on the journal is not what was written (seq is null: the row does not end where it does). Of
--     what was written at once, one hash covers all, up to the entry `sealed_seq`. For orders of a range of ids alone:
--     PGOPTIONS="-c audit.after=UUID -c audit.upto=UUID"
with span as (
    select coalesce(nullif(current_setting('audit.after', true), '')::uuid, '00000000-0000-0000-0000-000000000000') as after,
        coalesce(nullif(current_setting('audit.upto', true), '')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as upto
), entry as (
    -- What was written at once ends with an entry that has a hash: as many such stand before it as before its other entries.
    select j.*, count(*) filter (where hash <> '') over (partition by order_ledger_id order by seq
        rows between unbounded preceding and 1 preceding) as number
    from ledger_journal j
    where order_ledger_id > (select after from span) and order_ledger_id <= (select upto from span)
), written as (
    select order_ledger_id, number, min(seq) as seq, max(seq) as sealed_seq, string_agg(hash, ''::bytea) as hash, max(at) as at,
        max(replica) as replica, max(lease_epoch) as lease_epoch, jsonb_agg(journal_entry_given(kind, step, direction, round,
            attempt, outcome, request, response, error, duration_ms, actor, reason) order by seq) as entries,
        count(*) = max(seq) - min(seq) + 1 and min(at) = max(at) and min(replica) = max(replica)
            and min(lease_epoch) = max(lease_epoch) as one_write
    from entry
    group by order_ledger_id, number
), linked as (
    select w.*, lag(hash) over (partition by order_ledger_id order by number) as head from written w
), altered as (
    select distinct on (w.order_ledger_id) w.order_ledger_id, w.seq, w.sealed_seq
    from linked w
    where not (w.one_write and w.hash = journal_seal(w.head, w.order_ledger_id, w.seq - 1, w.at, w.replica, w.lease_epoch,
            w.entries))
        -- An entry of before, or one that was appended alone, has a hash over the text of its columns.
        and not exists (select from ledger_journal j
            where j.order_ledger_id = w.order_ledger_id and j.seq = w.seq and w.seq = w.sealed_seq
                and j.hash = journal_digest(null, w.head, journal_entry_text(j.order_ledger_id, j.seq, j.at, j.kind, j.step,
                    j.direction, j.round, j.attempt, j.outcome, j.request, j.response, j.error, j.duration_ms, j.replica,
                    j.lease_epoch, j.actor, j.reason)))
    order by w.order_ledger_id, w.number
), ending as (
    select distinct on (order_ledger_id) order_ledger_id, hash from written order by order_ledger_id, number desc
)
select l.order_ledger_id, a.seq, a.sealed_seq, l.last_seq, l.chain_head is distinct from e.hash as head_differs
from order_ledger l left join altered a using (order_ledger_id) left join ending e using (order_ledger_id)
where l.order_ledger_id > (select after from span) and l.order_ledger_id <= (select upto from span)
    and (a.order_ledger_id is not null or l.chain_head is distinct from e.hash);
