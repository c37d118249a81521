-- title: How much captured money stands? (the payments service's side; see ledger_money_completed)
-- database: payments
-- kind: question
-- a row means: for so many orders money is captured and not refunded in this currency, and how much; when nothing is under
--     way, the same as ledger_money_completed on the ledger
select currency, count(distinct order_id) as orders, sum(amount_minor) as amount_minor
from payment
where status = 'captured'
group by currency
order by currency;
