-- What verifying the journals' hash chains and comparing them with a checkpoint reads of the ledger.

-- name: limit_span
-- Has the audit's queries of the present transaction look at a range of orders alone.
select set_config('audit.after', %(after)s::text, true), set_config('audit.upto', %(upto)s::text, true);

-- name: page_heads
-- Where the journals of orders end, in the order of their ids; those of purged ones as they ended.
select * from (
    (select order_ledger_id, last_seq, chain_head, false as purged from order_ledger
     where order_ledger_id > %(after)s order by order_ledger_id limit %(limit)s)
    union all
    (select order_ledger_id, last_seq, chain_head, true as purged from purged_order
     where order_ledger_id > %(after)s order by order_ledger_id limit %(limit)s)
) heads
order by order_ledger_id
limit %(limit)s;

-- name: get_moment
-- The database's clock, for what is noted down of it.
select clock_timestamp() as at;

-- name: list_standing
-- What has become of orders of which is known where their journals ended once: where they end now, and the hash at that entry.
select k.order_ledger_id, coalesce(l.last_seq, p.last_seq) as last_seq, p.order_ledger_id is not null as purged,
    case when l.order_ledger_id is null then p.chain_head else j.hash end as hash
from unnest(%(order_ledger_ids)s::uuid[], %(seqs)s::integer[]) as k(order_ledger_id, seq)
    left join order_ledger l using (order_ledger_id)
    left join purged_order p using (order_ledger_id)
    left join ledger_journal j on j.order_ledger_id = k.order_ledger_id and j.seq = k.seq
where l.order_ledger_id is not null or p.order_ledger_id is not null;
