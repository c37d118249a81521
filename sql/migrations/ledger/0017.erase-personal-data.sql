-- Personal data: what answers from outside say of a person stands with that of the input, and both can be erased while the
-- history stays whole.
-- depends: 0016.add-roles

-- Members of signals' payloads that are marked as personal, by step. The row is made with the first of input and signals.
alter table order_personal alter column data set default '{}', add column results jsonb not null default '{}';

-- Erases what these orders say of a person, of those that have ended, and records with each who asked for it and why. Returns
-- the orders of which something was erased; one that has nothing (any more) is passed by, so it may be called again.
create function erase_orders(order_ledger_ids uuid[], actor text, reason text) returns setof uuid
    language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '5s' as
$$
declare
    held uuid[];
begin
    held := array(
        select l.order_ledger_id
        from order_ledger l
        where l.order_ledger_id = any (erase_orders.order_ledger_ids) and l.finished_at is not null
        order by l.order_ledger_id
        for update);
    return query
    with erased as (
        delete from order_personal p where p.order_ledger_id = any (held) returning p.order_ledger_id
    ), entry as materialized (
        select l.order_ledger_id, l.chain_head, l.last_seq + 1 as seq, clock_timestamp() as at, l.lease_epoch,
            coalesce((l.progress ->> 'round')::integer, 1) as round
        from order_ledger l join erased using (order_ledger_id)
    ), chained as materialized (
        select e.*, journal_chain(e.chain_head, journal_entry_text(e.order_ledger_id, e.seq, e.at, 'operator', null, null,
            e.round, null, 'erase', null, null, null, null, 'operator ' || erase_orders.actor, e.lease_epoch,
            erase_orders.actor, erase_orders.reason)) over (partition by e.order_ledger_id) as hash
        from entry e
    ), journal as (
        insert into ledger_journal (order_ledger_id, seq, at, kind, round, outcome, replica, lease_epoch, actor, reason, hash)
        select c.order_ledger_id, c.seq, c.at, 'operator', c.round, 'erase', 'operator ' || erase_orders.actor, c.lease_epoch,
            erase_orders.actor, erase_orders.reason, c.hash
        from chained c
    )
    update order_ledger l set last_seq = c.seq, chain_head = c.hash, updated_at = clock_timestamp()
    from chained c where l.order_ledger_id = c.order_ledger_id
    returning l.order_ledger_id;
end
$$;
revoke execute on function erase_orders(uuid[], text, text) from public;
grant execute on function erase_orders(uuid[], text, text) to sagaledger_orchestrator;
grant update (results) on order_personal to sagaledger_edge;
