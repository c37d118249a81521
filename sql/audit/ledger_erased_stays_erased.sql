-- title: What was erased stays erased
-- database: ledger
-- kind: invariant
-- a row means: personal data of this order were erased, and the ledger has some of it all the same
select p.order_ledger_id, j.seq as erased_seq, j.actor, j.at
from personal_data_held p join ledger_journal j using (order_ledger_id)
where j.kind = 'operator' and j.outcome = 'erase';
