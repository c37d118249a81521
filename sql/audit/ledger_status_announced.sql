-- title: Every change of status was announced with it
-- database: ledger
-- kind: invariant
-- invariant: I6
-- a row means: the journal says that the order came to this status so many times, the outbox says otherwise
with told (status, type) as (
    values ('COMPENSATING', 'OrderCompensating'), ('COMPLETED', 'OrderCompleted'), ('FAILED', 'OrderFailed'),
        ('CANCELLED', 'OrderCancelled'), ('DECLINED', 'OrderDeclined'), ('STUCK', 'OrderStuck')
), changes as (
    select j.order_ledger_id, t.type, count(*) as changes
    from ledger_journal j join told t on t.status = j.outcome
    where j.kind = 'status'
    group by j.order_ledger_id, t.type
), events as (
    select o.aggregateid as order_ledger_id, o.type, count(*) as events
    from outbox o join told t using (type)
    group by o.aggregateid, o.type
)
select order_ledger_id, type, coalesce(changes, 0) as changes, coalesce(events, 0) as events
from changes full join events using (order_ledger_id, type)
where changes is distinct from events;
