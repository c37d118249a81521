-- title: The journal's hash chain is intact
-- database: ledger
-- kind: invariant
-- a row means: from this entry on the journal is not what was written (seq is null: the row does not end where it does)
with recomputed as (
    select order_ledger_id, seq, hash, journal_chain(''::bytea, journal_entry_text(order_ledger_id, seq, at, kind, step,
        direction, round, attempt, outcome, request, response, error, duration_ms, replica, lease_epoch, actor, reason))
        over (partition by order_ledger_id order by seq) as expected
    from ledger_journal
), chain as (
    select order_ledger_id, min(seq) filter (where hash <> expected) as seq,
        (array_agg(expected order by seq desc))[1] as head
    from recomputed
    group by order_ledger_id
)
select l.order_ledger_id, c.seq, l.last_seq, l.chain_head is distinct from c.head as head_differs
from order_ledger l left join chain c using (order_ledger_id)
where c.seq is not null or l.chain_head is distinct from c.head;
