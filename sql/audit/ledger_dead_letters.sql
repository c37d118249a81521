-- title: Which events could not be delivered, and why?
-- database: ledger
-- kind: question
-- a row means: this event was not taken by this webhook, for that reason
select d.order_ledger_id, d.event_id, o.type, s.name as webhook, d.attempts, d.dead_at, d.error
from event_delivery d
    join event_subscription s using (subscription_id)
    join outbox o on o.aggregateid = d.order_ledger_id and o.id = d.event_id
where d.dead_at is not null
order by d.dead_at, d.event_id;
