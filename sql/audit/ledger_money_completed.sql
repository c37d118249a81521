-- title: How much money do completed orders stand for? (the ledger's side; see payments_money_captured)
-- database: ledger
-- kind: question
-- a row means: so many orders that took money are COMPLETED in this currency, and what they are worth together; when nothing
--     is under way, the same as payments_money_captured on the database of payments
select l.currency, count(*) as orders, sum(l.total_minor) as amount_minor
from order_ledger l
    -- A payment that was made later is given back when its order is cancelled.
    left join order_ledger o on o.order_ledger_id = l.parent_id and l.saga = 'pay_order'
where l.status = 'COMPLETED' and l.results ?| array['capture_payment', 'confirm_payment']
    and o.status is distinct from 'CANCELLED'
group by l.currency
order by l.currency;
