-- title: The status is what the journal says
-- database: ledger
-- kind: invariant
-- a row means: the order's row and its journal tell different states of it
select l.order_ledger_id, l.status, j.outcome as status_in_journal, j.seq, l.finished_at
from order_ledger l
    left join lateral (select outcome, seq from ledger_journal
        where order_ledger_id = l.order_ledger_id and kind = 'status' order by seq desc limit 1) j on true
where (j.outcome is null and l.status not in ('RECEIVED', 'PENDING'))  -- where an order starts, no entry is written
    or j.outcome <> l.status
    or (l.finished_at is not null) <> (l.status in ('COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED'));
