-- title: What was cancelled was turned round itself, or taken back whole
-- database: ledger
-- kind: invariant
-- invariant: I12
-- a row means: this order is CANCELLED, yet not by exactly one saga that took it back from COMPLETED, or that saga left
--     something of it standing; or the saga that was to take it back is COMPLETED, and the order is not CANCELLED
with taken_back as (
    -- One that turned round itself was undone in the direction of its compensations, and is judged by those.
    select l.order_ledger_id, l.status,
        -- What was completed on it counts as done of it, such as its payment.
        array(select jsonb_object_keys(l.results)
            union select jsonb_object_keys(o.results) from order_ledger o where o.parent_id = l.order_ledger_id
                and o.saga <> 'cancel_order' and o.status = 'COMPLETED') as done,
        exists (select from ledger_journal j where j.order_ledger_id = l.order_ledger_id and j.kind = 'status'
            and j.outcome = 'COMPLETED') as had_completed,
        array(select c.order_ledger_id from order_ledger c
            where c.parent_id = l.order_ledger_id and c.saga = 'cancel_order' and c.status = 'COMPLETED') as taken_back_by
    from order_ledger l
    where l.status = 'CANCELLED' and l.direction = 'action'
), undone (done, by) as (
    values ('capture_payment', 'refund_payment'), ('confirm_payment', 'refund_payment'),
        ('reserve_inventory', 'release_inventory'), ('confirm_stock', 'release_inventory'),
        ('create_order', 'mark_cancelled'), ('schedule_shipping', 'cancel_shipment')
)
select t.order_ledger_id, t.status, problem, t.taken_back_by
from taken_back t
    cross join lateral (
        select 'it was never completed' as problem where not t.had_completed
        union all
        select 'not exactly one saga took it back' where cardinality(t.taken_back_by) <> 1
        union all
        select u.done || ' was not taken back by ' || u.by
        from undone u join order_ledger c on c.order_ledger_id = any (t.taken_back_by)
        where u.done = any (t.done) and not c.results ? u.by
            -- An operator may have left it out, or have said that it is done.
            and not exists (select from ledger_journal j where j.order_ledger_id = c.order_ledger_id and j.kind = 'operator'
                and (j.outcome = 'resolve-completed' or j.outcome = 'skip' and j.step = u.by and j.actor <> 'sagaledger'))
    ) as found
union all
select c.parent_id, l.status, 'it was taken back, and stands', array[c.order_ledger_id]
from order_ledger c left join order_ledger l on l.order_ledger_id = c.parent_id
where c.saga = 'cancel_order' and c.status = 'COMPLETED' and l.status is distinct from 'CANCELLED'
    and not exists (select from purged_order p where p.order_ledger_id = c.parent_id);
