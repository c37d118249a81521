-- title: No two owners at a time
-- database: ledger
-- kind: invariant
-- invariant: I8
-- a row means: two replicas made attempts of this order at once: under one epoch, or one epoch began before the last ended
with epoch as (
    -- Operators write under the epoch of the owner at the time, and may end a wait: only attempts tell who the owner was.
    select order_ledger_id, lease_epoch, min(at) as began_at, max(at) as ended_at,
        array_agg(distinct replica) filter (where kind in ('intent', 'outcome') and replica not like 'operator %')
            as replicas
    from ledger_journal
    group by order_ledger_id, lease_epoch
), sequence as (
    select *, max(ended_at) over (partition by order_ledger_id order by lease_epoch
        rows between unbounded preceding and 1 preceding) as last_ended_at
    from epoch
)
select order_ledger_id, lease_epoch, replicas, began_at, last_ended_at
from sequence
where cardinality(replicas) > 1 or began_at < last_ended_at;
