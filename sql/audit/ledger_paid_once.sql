-- title: An order is paid at most once, the whole of it, and only where it was placed without payment
-- database: ledger
-- kind: invariant
-- a row means: this payment of an order was completed, and it is not the order's first, or not of its amount, or of an order that
--     is neither COMPLETED nor was CANCELLED since
with payment as (
    select order_ledger_id, parent_id, currency, total_minor,
        row_number() over (partition by parent_id order by finished_at, order_ledger_id) as place
    from order_ledger
    where saga = 'pay_order' and status = 'COMPLETED'
)
select p.order_ledger_id, p.parent_id, problem
from payment p
    left join order_ledger o on o.order_ledger_id = p.parent_id
    -- What was purged since had ended.
    left join purged_order g on g.order_ledger_id = p.parent_id
    cross join lateral (values
        (p.place > 1, 'the order was paid before'),
        (o.order_ledger_id is null and g.order_ledger_id is null, 'there is no such order'),
        ((p.currency, p.total_minor) is distinct from (o.currency, o.total_minor) and o.order_ledger_id is not null,
            'another amount than the order''s'),
        (o.status not in ('COMPLETED', 'CANCELLED'), 'the order does not stand'),
        (o.saga <> 'place_unpaid_order', 'the order is paid for by its own saga')
    ) as checked (violated, problem)
where violated;
