-- Erasing what orders say of a person; see `erase_orders` in the migrations.

-- name: page_customer_orders
-- One page of a customer's orders, in the order of their ids: whether each has ended, and whether it says anything of a person.
select l.order_ledger_id, l.status, l.finished_at is not null as has_ended, p.order_ledger_id is not null as is_personal
from order_ledger l left join order_personal p using (order_ledger_id)
where l.customer_id = %(customer_id)s
    and (%(client_id)s::text is null or l.client_id = %(client_id)s)
    and (%(after)s::uuid is null or l.order_ledger_id > %(after)s::uuid)
order by l.order_ledger_id
limit %(limit)s;

-- name: is_of_others
-- Whether any client but this one has orders of a customer.
select exists (select from order_ledger where customer_id = %(customer_id)s and client_id <> %(client_id)s) as found;

-- name: erase_orders
-- Erases what these orders say of a person, of those that have ended; the orders of which something was erased.
select erase_orders(%(order_ledger_ids)s::uuid[], %(actor)s, %(reason)s) as order_ledger_id;

-- name: is_erased
-- Whether anything of an order was erased.
select exists (select from ledger_journal
    where order_ledger_id = %(order_ledger_id)s and kind = 'operator' and outcome = 'erase') as erased;
