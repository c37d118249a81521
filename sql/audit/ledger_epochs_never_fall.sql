-- title: Epochs never fall
-- database: ledger
-- kind: invariant
-- invariant: I8
-- a row means: this entry was written under an epoch that was over, or that the order has not had: the fence did not hold
with entry as (
    select j.order_ledger_id, j.seq, j.replica, j.lease_epoch, l.lease_epoch as row_epoch,
        lag(j.lease_epoch) over (partition by j.order_ledger_id order by j.seq) as epoch_before
    from ledger_journal j join order_ledger l using (order_ledger_id)
)
select order_ledger_id, seq, replica, lease_epoch, epoch_before, row_epoch
from entry
where lease_epoch < epoch_before or lease_epoch > row_epoch;
