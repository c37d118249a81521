-- title: No outcome without an earlier intent
-- database: ledger
-- kind: invariant
-- invariant: I9
-- a row means: this attempt was closed without having been intended before, so a call was made that was not durable first
select j.order_ledger_id, j.seq, j.kind, j.step, j.direction, j.round, j.attempt, j.outcome
from ledger_journal j
where j.kind in ('outcome', 'takeover') and j.step is not null and not exists (
    select from ledger_journal i
    where i.kind = 'intent' and i.order_ledger_id = j.order_ledger_id and i.step = j.step and i.direction = j.direction
        and i.round = j.round and i.attempt = j.attempt and i.seq < j.seq);
