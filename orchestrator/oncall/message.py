"""What people are told: one message of everything that needs somebody, what is alike said once. Pure: no clock, no IO.

It says what, since when, why, how much money hangs on it, and what to type; nothing of it names a person.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from orchestrator.answers import UNDO_FAILED
from orchestrator.money import money
from sql.models import Json, Status
from sql.oncall import Notice

TOLD: Final = ("OrderStuck", UNDO_FAILED)
"""Types of the events that people are told of."""
NAMED_MAX: Final = 5
"""Orders of a group that the text names: enough to look at, few enough to read."""
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent.

    Attributes:
        id: The same for the same events, so that one that is sent twice is known again.
        subject: A line.
        text: For people, plain.
        body: The same for programs, as JSON.
    """

    id: UUID
    subject: str
    text: str
    body: Json


def message_of(notices: Sequence[Notice], admin_url: str | None) -> Message:
    """Return the message that tells of these.

    Args:
        notices: One at least, in the order in which it happened. Several of one order are one matter: the last one counts.
        admin_url: Address of the operators' page; None for no links.
    """
    newest = list({notice.delivery.order_ledger_id: notice for notice in notices}.values())
    groups = [list(group) for _, group in groupby(sorted(newest, key=_likeness), key=_likeness)]
    count = len(newest)
    stuck = sum(notice.status == Status.STUCK for notice in newest)
    subject = f"Sagaledger: {count} {'order needs' if count == 1 else 'orders need'} somebody"
    if stuck:
        subject += f", {stuck} STUCK"
    text = "\n\n".join([*(_told(group, admin_url) for group in groups), _WHAT_TO_DO])
    events = " ".join(sorted(str(notice.delivery.id) for notice in notices))
    body: Json = {
        "type": "orders.need_somebody",
        "text": f"{subject}\n\n{text}",
        "orders": [_order(notice, admin_url) for notice in newest],
    }
    return Message(uuid5(NAMESPACE_URL, f"sagaledger:oncall:{events}"), subject, text, body)


_WHAT_TO_DO: Final = (
    "Look: saga ledger show ID, then saga ledger retry ID --dry-run; all of them: saga ledger list --stuck.\n"
    "What each alert means and what to do: docs/runbook.md, docs/operating.md."
)


def _likeness(notice: Notice) -> tuple[str, str, str, str]:
    return notice.delivery.data["saga"], notice.status, notice.step or "", _ID.sub("…", notice.reason or "")


def _told(group: Sequence[Notice], admin_url: str | None) -> str:
    first = group[0]
    of = f"{len(group)} orders" if len(group) > 1 else "1 order"
    at = f" at {first.step}" if first.step else ""
    state = first.status if first.status == Status.STUCK else f"{first.status} now"
    lines = [f"{of} of {first.delivery.data['saga']}, {state}{at}{_value(group)}"]
    lines.append(f"  since {min(notice.delivery.occurred_at for notice in group):%Y-%m-%d %H:%M:%S} UTC")
    if first.reason:
        lines.append(f"  {_ID.sub('…', first.reason) if len(group) > 1 else first.reason}")
    for notice in group[:NAMED_MAX]:
        lines.append(f"  {_link(notice, admin_url) or notice.delivery.order_ledger_id}")
    if len(group) > NAMED_MAX:
        lines.append(f"  and {len(group) - NAMED_MAX} more")
    return "\n".join(lines)


def _value(group: Sequence[Notice]) -> str:
    totals: dict[str, int] = {}
    for notice in group:
        currency, total = notice.delivery.data["currency"], notice.delivery.data["total_minor"]
        if currency is not None and total is not None:
            totals[currency] = totals.get(currency, 0) + total
    said = " and ".join(money(total, currency) for currency, total in sorted(totals.items()))
    return f", worth {said}" if said else ""


def _link(notice: Notice, admin_url: str | None) -> str | None:
    return f"{admin_url.rstrip('/')}/#/orders/{notice.delivery.order_ledger_id}" if admin_url else None


def _order(notice: Notice, admin_url: str | None) -> Json:
    event = notice.delivery
    return {
        "order_ledger_id": event.order_ledger_id,
        "event": event.type,
        "seq": event.seq,
        "since": event.occurred_at,
        "saga": event.data["saga"],
        "status": notice.status,
        "step": notice.step,
        "reason": notice.reason,
        "currency": event.data["currency"],
        "total_minor": event.data["total_minor"],
        "correlation_id": event.correlation_id,
        "link": _link(notice, admin_url),
    }
