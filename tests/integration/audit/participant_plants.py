"""What must be found at the participants: for each of their invariants a way to break it."""

from typing import LiteralString

from tests.integration.audit.plants import Plant

_FENCE: LiteralString = "insert into fence (subject, operation, reason, idempotency_key) "

PARTICIPANTS = {
    "inventory": (
        Plant("inventory_stock_adds_up", "update stock set on_hand = on_hand - 1"),
        Plant("inventory_stock_adds_up", "update stock set reserved = reserved + 1"),
        Plant(
            "inventory_reservations_follow_effects",
            "update reservation set status = 'released', released_at = now(); update stock set reserved = 0",
        ),
        Plant("inventory_nothing_held_after_undo", _FENCE + "values ('reservation/stands', 'compensation', 'done', 'x')"),
        Plant(
            "inventory_nothing_held_after_undo",
            "update fence set reason = 'undone', status = null, body = null, idempotency_key = 'x'"
            " where subject = 'reservation/stands';" + _FENCE + "values ('other', 'action', 'done', 'stands');"
            " update fence set status = 200, body = '{}' where subject = 'other'",
        ),
        Plant("inventory_nothing_held_after_undo", _FENCE + "values ('reservation/tried', 'compensation', 'done', 'x')"),
        Plant(
            "inventory_reservations_follow_effects",  # stands, though nobody confirmed it
            "update reservation set status = 'held' where order_id = 'tried'",
        ),
        Plant(
            "inventory_nothing_held_past_its_time",
            "update reservation set expires_at = now() - interval '61 s' where order_id = 'tried'",
        ),
        Plant("inventory_effects_sound", "update effect set operation_key = 'x' where order_id = 'stands'"),
    ),
    "payments": (
        Plant(
            "payments_money_within_bounds",
            """update effect set amounts = '{"captured": -801}' where kind = 'refunded'""",
            frozenset({"payments_follow_effects", "payments_effects_sound"}),
        ),
        Plant(
            "payments_follow_effects",
            "update payment set status = 'authorized', captured_at = null where order_id = 'stands'",
        ),
        Plant("payments_nothing_held_after_undo", _FENCE + "values ('capture/stands', 'compensation', 'done', 'x')"),
        Plant("payments_nothing_held_after_undo", _FENCE + "values ('authorization/stands', 'compensation', 'done', 'x')"),
        Plant("payments_nothing_held_after_undo", _FENCE + "values ('reservation/confirmed', 'compensation', 'done', 'x')"),
        Plant(
            "payments_nothing_held_past_its_time",
            "update payment set expires_at = now() - interval '61 s' where order_id = 'tried'",
        ),
        Plant("payments_effects_sound", "update effect set operation_key = 'x' where order_id = 'stands'"),
        Plant(
            "payments_effects_sound",
            """insert into effect (operation_key, order_id, kind, amounts)
            select operation_key, order_id, kind, amounts from effect where order_id = 'stands' and kind = 'captured'""",
            frozenset({"payments_follow_effects", "payments_money_within_bounds"}),
        ),
        Plant(
            "payments_one_capture_stands",
            """insert into payment (authorization_id, order_id, amount_minor, currency, status, captured_at)
            select 'again', order_id, amount_minor, currency, status, captured_at from payment where order_id = 'stands'""",
            frozenset({"payments_follow_effects"}),
        ),
        Plant(
            "payments_effects_sound",  # given back before it was taken: only the order of the log is wrong
            """update effect set seq = default where order_id = 'undone' and kind = 'captured'""",
        ),
    ),
    "orders": (
        Plant(
            "orders_follow_effects",
            "update shop_order set status = 'created', confirmed_at = null where order_ledger_id = 'stands'",
        ),
        Plant("orders_lines_add_up", "update shop_order_line set quantity = 9"),
        Plant("orders_nothing_stands_after_undo", _FENCE + "values ('order/stands', 'compensation', 'done', 'x')"),
        Plant("orders_effects_sound", "update effect set operation_key = 'x' where kind = 'order_confirmed'"),
    ),
    "shipping": (
        Plant(
            "shipping_shipments_follow_effects",
            "update shipment set status = 'cancelled', cancelled_at = now() where order_id = 'stands'",
        ),
        Plant("shipping_nothing_sent_after_undo", _FENCE + "values ('shipment/stands', 'compensation', 'done', 'x')"),
        Plant(
            "shipping_one_shipment_stands",
            "insert into shipment (shipment_id, order_id) values ('again', 'stands')",
            frozenset({"shipping_shipments_follow_effects"}),
        ),
        Plant("shipping_effects_sound", "update effect set operation_key = 'x' where order_id = 'stands'"),
    ),
    "notifications": (
        Plant("notifications_follow_effects", "delete from notification where order_id = 'stands'"),
        Plant(
            "notifications_told_once",
            """update notification set template = 'shipment_scheduled';
            insert into notification (notification_id, order_id, customer_id, template)
            select 'again', order_id, customer_id, template from notification""",
            frozenset({"notifications_follow_effects"}),
        ),
        Plant("notifications_effects_sound", "update effect set operation_key = 'x' where order_id = 'stands'"),
    ),
}
