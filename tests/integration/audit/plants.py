"""What must be found: for each invariant a way to break it behind the back of everything that forbids it."""

from dataclasses import dataclass
from typing import LiteralString

# Run after a plant that is not about the chain: whoever can change the journal can compute its hashes again.
RECHAIN: LiteralString = """
update ledger_journal j set hash = c.hash
from (select order_ledger_id, seq, journal_chain(''::bytea, journal_entry_text(order_ledger_id, seq, at, kind, step, direction,
          round, attempt, outcome, request, response, error, duration_ms, replica, lease_epoch, actor, reason))
          over (partition by order_ledger_id order by seq) as hash
      from ledger_journal) c
where c.order_ledger_id = j.order_ledger_id and c.seq = j.seq;
update order_ledger l set chain_head = (select hash from ledger_journal j where j.order_ledger_id = l.order_ledger_id
                                        order by seq desc limit 1);
"""

# Plants name orders by their keys, and entries of the journal by what they are.
HELP: LiteralString = """
create function o(key text) returns uuid language sql as
$$ select order_ledger_id from order_ledger where client_request_id = key $$;
create function swap(key text, kind_ text, step_a text, direction_a text, step_b text, direction_b text) returns void
    language plpgsql as $$
declare a integer; b integer;
begin
    select seq into strict a from ledger_journal
        where order_ledger_id = o(key) and kind = kind_ and step = step_a and direction = direction_a;
    select seq into strict b from ledger_journal
        where order_ledger_id = o(key) and kind = kind_ and step = step_b and direction = direction_b;
    update ledger_journal set seq = 1000 where order_ledger_id = o(key) and seq = a;
    update ledger_journal set seq = a where order_ledger_id = o(key) and seq = b;
    update ledger_journal set seq = b where order_ledger_id = o(key) and seq = 1000;
end $$;
"""


@dataclass(frozen=True)
class Plant:
    """A violation.

    Attributes:
        query: The query that must find it.
        sql: Plants it.
        also: Other queries that can't but find it too.
    """

    query: str
    sql: LiteralString
    also: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.query


LEDGER = (
    Plant(
        "ledger_one_row_per_key",
        """alter table order_ledger drop constraint order_ledger_client_key;
        update order_ledger set client_request_id = 'completed' where order_ledger_id = o('failed')""",
        frozenset({"ledger_id_follows_key"}),
    ),
    Plant("ledger_id_follows_key", "update order_ledger set client_request_id = 'x' where order_ledger_id = o('completed')"),
    Plant("ledger_id_follows_key", "update order_ledger set client_id = 'Ω' where order_ledger_id = o('completed')"),
    Plant("ledger_answers_frozen", "update order_ledger set response_status = 402 where order_ledger_id = o('completed')"),
    Plant(
        "ledger_answers_frozen",
        """update order_ledger set response_status = null, response_body = null
        where order_ledger_id = o('declined')""",
    ),
    Plant(
        "ledger_answers_frozen",
        """update order_ledger set response_body = (select response_body from order_ledger where order_ledger_id = o('failed'))
        where order_ledger_id = o('completed')""",
    ),
    Plant("ledger_orders_announced", "delete from outbox where type = 'OrderReceived' and aggregateid = o('waiting')"),
    Plant("ledger_status_announced", "delete from outbox where type = 'OrderCompleted' and aggregateid = o('completed')"),
    Plant(
        "ledger_status_announced",
        "update outbox set type = 'OrderFailed' where type = 'OrderStuck' and aggregateid = o('stuck')",
        frozenset({"ledger_stuck_is_loud"}),
    ),
    Plant(
        "ledger_events_in_order",
        "update outbox set transaction_id = '1' where type = 'OrderCompleted' and aggregateid = o('completed')",
    ),
    Plant(
        "ledger_erased_stays_erased",
        """select erase_orders(array[o('completed')], 'ann', 'asked');
        insert into order_personal (order_ledger_id) values (o('completed'))""",
    ),
    Plant(
        "ledger_events_in_reach",
        """update outbox set transaction_id = pg_snapshot_xmax(pg_current_snapshot())
        where type = 'OrderCompleted' and aggregateid = o('completed')""",
    ),
    Plant(
        "ledger_webhooks_in_reach",
        """insert into event_subscription (name, url, secret, transaction_id)
        values ('ahead', 'http://h/', 'whsec_', (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1)::text::xid8)""",
    ),
    Plant(
        "ledger_rows_have_their_order",
        """insert into ledger_journal (order_ledger_id, seq, at, kind, outcome, replica, lease_epoch, hash)
        values (gen_random_uuid(), 1, now(), 'status', 'PENDING', 'r', 1, 'h')""",
    ),
    Plant(
        "ledger_rows_have_their_order",
        """insert into outbox (aggregateid, type, payload, correlation_id, seq, transaction_id)
        values (gen_random_uuid(), 'OrderNoted', '{}', 'c', 1, '1')""",
    ),
    Plant(
        "ledger_shipped_after_payment",
        """update order_ledger set saga = 'deliver_order' where order_ledger_id = o('waiting');
        update ledger_journal set step = 'schedule_shipping' where order_ledger_id = o('waiting') and step = 'create_order'""",
        frozenset({"ledger_attempts_within_budget"}),
    ),
    Plant("ledger_cancelled_whole", "update order_ledger set direction = 'action' where order_ledger_id = o('cancelled')"),
    Plant(
        "ledger_cancelled_whole",
        "update order_ledger set saga = 'cancel_order', parent_id = o('failed') where order_ledger_id = o('completed')",
    ),
    Plant(
        "ledger_cancelled_whole",
        "update order_ledger set parent_id = o('failed') where parent_id = o('taken_back') and saga = 'cancel_order'",
    ),
    Plant(
        "ledger_cancelled_whole",
        "update order_ledger set results = results - 'refund_payment' where parent_id = o('taken_back')",
        frozenset({"ledger_results_follow_journal"}),
    ),
    Plant(
        "ledger_shipped_stays_completed",
        """update ledger_journal set step = 'check_cancellable', response = '{"status": "shipped"}'
        where order_ledger_id = (select order_ledger_id from order_ledger where parent_id = o('taken_back'))
            and step = 'refund_payment' and kind = 'outcome'""",
        frozenset(
            {
                "ledger_outcome_follows_intent",
                "ledger_attempts_end_once",
                "ledger_completed_whole",
                "ledger_results_follow_journal",
            }
        ),
    ),
    Plant(
        "ledger_confirmed_both_or_neither",
        # Of what failed for want of stock, two steps are said to be confirms: one was done, one was not.
        """update saga_definition set body = jsonb_set(jsonb_set(jsonb_set(jsonb_set(body,
            '{steps,1,group}', '"confirm"'), '{steps,1,undone_by}', '"nothing"'),
            '{steps,2,group}', '"confirm"'), '{steps,2,undone_by}', '"nothing"')
        where definition_id = (select definition_id from order_ledger where order_ledger_id = o('failed'))""",
    ),
    Plant(
        "ledger_paid_once",
        """update order_ledger set saga = 'pay_order', parent_id = o('failed') where order_ledger_id = o('completed')""",
    ),
    Plant("ledger_journal_gap_free", "update order_ledger set last_seq = last_seq + 1 where order_ledger_id = o('waiting')"),
    Plant(
        "ledger_journal_gap_free",
        "delete from ledger_journal where order_ledger_id = o('waiting') and kind = 'outcome' and step = 'create_order'",
    ),
    Plant(
        "ledger_journal_gap_free",
        """delete from ledger_journal where order_ledger_id = o('waiting');
        update order_ledger set results = '{}', status = 'PENDING' where order_ledger_id = o('waiting')""",
    ),
    Plant("ledger_epochs_never_fall", "update order_ledger set lease_epoch = 1 where order_ledger_id = o('completed')"),
    Plant(
        "ledger_epochs_never_fall",
        """update ledger_journal set lease_epoch = 1
        where order_ledger_id = o('taken_over') and kind = 'intent' and step = 'capture_payment'""",
        frozenset({"ledger_epochs_never_overlap"}),  # and replica-3 with it
    ),
    Plant(
        "ledger_epochs_never_overlap",
        """update ledger_journal set replica = 'zombie'
        where order_ledger_id = o('completed') and kind = 'outcome' and step = 'capture_payment'""",
    ),
    Plant(
        "ledger_epochs_never_overlap",
        "update ledger_journal set at = at + interval '1 h' where order_ledger_id = o('completed') and seq = 1",
    ),
    Plant(
        "ledger_outcome_follows_intent",
        """update ledger_journal set seq = seq + 1000
        where order_ledger_id = o('waiting') and step = 'create_order' and kind in ('intent', 'outcome');
        update ledger_journal j set seq = (select sum(seq) - 2000 from ledger_journal
            where order_ledger_id = o('waiting') and seq > 1000) - (j.seq - 1000)
        where order_ledger_id = o('waiting') and seq > 1000""",
    ),
    Plant(
        "ledger_attempts_end_once",
        """update ledger_journal set step = null, direction = null, attempt = null, outcome = null
        where order_ledger_id = o('taken_over') and kind = 'takeover'""",
    ),
    Plant(
        "ledger_attempts_end_once",
        """drop index ledger_journal_closed;
        update ledger_journal set kind = 'takeover', step = 'create_order', direction = 'action', attempt = 1,
            outcome = 'unknown'
        where order_ledger_id = o('completed') and kind = 'status' and outcome = 'RUNNING'""",
    ),
    Plant(
        "ledger_done_once",
        """drop index ledger_journal_done;
        update ledger_journal j set outcome = 'succeeded', response = (select results -> 'create_order' from order_ledger
            where order_ledger_id = o('completed_late'))
        where order_ledger_id = o('completed_late') and kind = 'outcome' and outcome = 'unknown'""",
    ),
    Plant(
        "ledger_undone_in_reverse",
        """select swap('failed', 'intent', 'create_order', 'compensation', 'authorize_payment', 'compensation');
        select swap('failed', 'outcome', 'create_order', 'compensation', 'authorize_payment', 'compensation')""",
    ),
    Plant(
        "ledger_undone_whole",
        """update ledger_journal set outcome = 'rejected'
        where order_ledger_id = o('failed') and step = 'authorize_payment' and direction = 'compensation'
            and kind = 'outcome'""",
    ),
    Plant(
        "ledger_undone_whole",  # refused in the end, but in doubt before
        """update ledger_journal set outcome = 'rejected'
        where order_ledger_id = o('declined_in_doubt') and direction = 'compensation' and kind = 'outcome'""",
    ),
    Plant(
        "ledger_undone_whole",  # confirm_order is in doubt, and create_order, whose compensation undoes it, was refused
        """update ledger_journal set outcome = 'rejected'
        where order_ledger_id = o('failed_at_confirm') and step = 'create_order' and kind = 'outcome';
        update order_ledger set results = results - 'create_order' where order_ledger_id = o('failed_at_confirm')""",
    ),
    Plant(
        "ledger_pivots_only_go_forward",
        "update saga_definition set body = jsonb_set(body, '{steps,2,kind}', '\"pivot\"')",
    ),
    Plant(
        "ledger_no_way_forward_again",
        """select swap('failed', 'intent', 'reserve_inventory', 'action', 'create_order', 'compensation');
        select swap('failed', 'outcome', 'reserve_inventory', 'action', 'create_order', 'compensation')""",
    ),
    Plant(
        "ledger_attempts_within_budget",
        """update ledger_journal set attempt = 3
        where order_ledger_id = o('completed_late') and step = 'create_order' and attempt = 2""",
    ),
    Plant(
        "ledger_attempts_within_budget",
        """update saga_definition set body = replace(body::text, '"attempts_max": 2', '"attempts_max": 1')::jsonb""",
    ),
    Plant(
        "ledger_no_lease_at_rest",
        """alter table order_ledger drop constraint order_ledger_no_lease_at_rest;
        update order_ledger set lease_owner = 'ghost', lease_expires_at = now() where order_ledger_id = o('completed')""",
    ),
    Plant(
        "ledger_nothing_overdue",
        """update order_ledger set created_at = now() - interval '1 h', next_retry_at = now() - interval '61 s'
        where order_ledger_id = o('waiting')""",
    ),
    Plant(
        "ledger_stuck_is_loud",
        """update ledger_journal set reason = null
        where order_ledger_id = o('stuck') and kind = 'status' and outcome = 'STUCK'""",
    ),
    Plant("ledger_status_follows_journal", "update order_ledger set status = 'PENDING' where order_ledger_id = o('waiting')"),
    Plant(
        "ledger_status_follows_journal",
        """alter table order_ledger drop constraint order_ledger_finished;
        update order_ledger set finished_at = null where order_ledger_id = o('completed')""",
    ),
    Plant(
        "ledger_completed_whole",
        """update ledger_journal set outcome = 'rejected'
        where order_ledger_id = o('completed') and step = 'confirm_order' and kind = 'outcome';
        update order_ledger set results = results - 'confirm_order' where order_ledger_id = o('completed')""",
    ),
    Plant(
        "ledger_results_follow_journal",
        "update order_ledger set results = results - 'create_order' where order_ledger_id = o('completed')",
    ),
    Plant(
        "ledger_results_follow_journal",
        """update order_ledger set results = jsonb_set(results, '{create_order,step}', '"x"')
        where order_ledger_id = o('completed')""",
    ),
    Plant("ledger_no_call_on_hold", "update order_ledger set paused_at = null where order_ledger_id = o('paused')"),
    Plant("ledger_no_call_on_hold", "update order_ledger set paused_at = now() where order_ledger_id = o('waiting')"),
    Plant(
        "ledger_no_call_on_hold",
        "update ledger_journal set outcome = 'retry' where order_ledger_id = o('resumed') and outcome = 'resume'",
    ),
    # An operator's word is what excuses these: without it, or for another step, each is found.
    Plant(
        "ledger_completed_whole",
        """update ledger_journal set outcome = 'retry'
        where order_ledger_id = o('completed_by_hand') and outcome = 'resolve-completed'""",
    ),
    Plant(
        "ledger_undone_whole",
        """update ledger_journal set outcome = 'retry'
        where order_ledger_id = o('failed_by_hand') and outcome = 'resolve-failed'""",
    ),
    Plant(
        "ledger_undone_whole",
        "update ledger_journal set direction = null where order_ledger_id = o('left_standing') and outcome = 'skip'",
    ),
    Plant(
        "ledger_undone_whole",
        """update ledger_journal set step = 'authorize_payment'
        where order_ledger_id = o('left_standing') and outcome = 'skip'""",
    ),
    Plant(
        "ledger_completed_whole",
        """update order_ledger set progress = jsonb_set(progress, '{steps,create_order,state}', '"succeeded"')
        where order_ledger_id = o('gone_on_without')""",
    ),
    Plant(
        "ledger_cancelled_whole",
        """update ledger_journal set outcome = 'retry' where outcome = 'resolve-completed' and order_ledger_id =
            (select order_ledger_id from order_ledger where parent_id = o('taken_back_by_hand'))""",
    ),
    Plant("ledger_items_add_up", "update order_ledger_items set quantity = 7 where order_ledger_id = o('failed') and line = 1"),
    Plant("ledger_items_add_up", "delete from order_ledger_items where order_ledger_id = o('failed')"),
)

CHAIN = (
    Plant("ledger_chain_intact", "update ledger_journal set error = 'x' where order_ledger_id = o('completed') and seq = 3"),
    Plant("ledger_chain_intact", "update ledger_journal set hash = '\\x00' where order_ledger_id = o('failed') and seq = 2"),
    Plant("ledger_chain_intact", "update order_ledger set chain_head = null where order_ledger_id = o('failed')"),
)
