-- title: A step is done at most once, and undone at most once
-- database: ledger
-- kind: invariant
-- invariant: I10
-- a row means: the journal says more than once that this step succeeded in this direction
select order_ledger_id, step, direction, count(*) as successes, array_agg(seq order by seq) as seqs
from ledger_journal
where kind = 'outcome' and outcome = 'succeeded'
group by order_ledger_id, step, direction
having count(*) > 1;
