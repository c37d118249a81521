-- title: How much money do completed orders stand for? (the ledger's side; see payments_money_captured)
-- database: ledger
-- kind: question
-- a row means: so many orders that took money are COMPLETED in this currency, and what they are worth together; when nothing
--     is under way, the same as payments_money_captured and orders_money_confirmed on the databases of those services
select currency, count(*) as orders, sum(total_minor) as amount_minor
from order_ledger
where status = 'COMPLETED' and results ? 'capture_payment'
group by currency
order by currency;
