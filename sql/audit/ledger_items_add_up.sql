-- title: Items are those of the input and add up to the total
-- database: ledger
-- kind: invariant
-- a row means: the order's lines are not as many as its input has, or do not sum to its total
select l.order_ledger_id, l.total_minor, coalesce(i.sum_minor, 0) as items_minor, coalesce(i.lines, 0) as lines,
    jsonb_array_length(l.input -> 'items') as lines_in_input
from order_ledger l
    left join (select order_ledger_id, count(*) as lines, sum(quantity * unit_price_minor) as sum_minor
               from order_ledger_items group by order_ledger_id) i using (order_ledger_id)
-- A team's own input may call something else its items.
where (l.input #> '{items,0}' ?& array['sku', 'quantity', 'unit_price_minor'] or i.lines > 0)
    and (coalesce(i.sum_minor, 0) is distinct from l.total_minor
        or coalesce(i.lines, 0) is distinct from jsonb_array_length(l.input -> 'items'));
