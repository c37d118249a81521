-- title: No money is held for what was undone
-- database: payments
-- kind: invariant
-- invariant: I17
-- a row means: this money is set aside or taken though it was given back, or was to be given back before it was taken
select p.authorization_id, p.order_id, p.amount_minor, p.status, f.subject, f.operation, f.reason, f.idempotency_key
from payment p
    join fence f on (f.operation = 'compensation' or f.reason = 'undone') and (
        f.subject = 'authorization/' || p.authorization_id and p.status in ('authorized', 'captured')
        or f.subject = 'reservation/' || p.authorization_id and p.status in ('authorized', 'captured')
        or f.subject = 'capture/' || p.authorization_id and p.status = 'captured');
