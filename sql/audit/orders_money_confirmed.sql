-- title: How much are confirmed orders worth? (the orders service's side; see ledger_money_completed)
-- database: orders
-- kind: question
-- a row means: so many orders are confirmed in this currency, and what they are worth together; when nothing is under way,
--     ledger_money_completed on the ledger with what is not paid yet, and without checkouts, which leave nothing here
select currency, count(*) as orders, sum(total_minor) as amount_minor
from shop_order
where status = 'confirmed'
group by currency
order by currency;
