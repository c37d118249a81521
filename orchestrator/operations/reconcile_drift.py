"""Kinds of drift between the ledger and the participants, and what mends each. No IO.

What an order leaves at the participants is compared with what its end says (`audit_compare`). A difference is money, stock, a
record, a shipment or a message, and stands where nothing may, or is missing where something must be.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import orjson

from orchestrator.identity import operation_key, resource_id
from orchestrator.operations.audit_compare import balances
from orchestrator.operations.audit_spool import Logged
from orchestrator.operations.parameters import TEXT_MAX
from participants.contracts import inventory, orders, payments, shipping
from participants.contracts.endpoint import Endpoint
from sql.models import Direction, Status

THINGS: Final[Mapping[str, str]] = {
    "payments": "money",
    "inventory": "stock",
    "orders": "record",
    "shipping": "shipment",
    "notifications": "message",
}
"""What a participant keeps, in one word; `effect` for one of a team's own."""

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+")
"""What makes reasons of one cause differ."""
UNKNOWN: Final = "unknown"
"""Stands where a currency would: only the ledger tells in what a participant's minor units are."""

MEANINGS: Final[Mapping[str, str]] = {
    "unknown_order_holds": "the ledger has no such order, and {participant} holds {thing} for it",
    "undone_order_holds": "the order ended undone, and {participant} still holds {thing} of it, or gave back more than it had",
    "completed_order_lacks": "the order is COMPLETED, and {participant} has less {thing} of it than its definition says",
    "completed_order_exceeds": "the order is COMPLETED, and {participant} has more {thing} of it than its definition says",
    "stuck_order": "the order waits for an operator, done in part",
}
"""What each kind means; a kind is followed by the thing that it is about, but for `stuck_order`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A balance that is not what it must be.

    Attributes:
        account: As `participant.account`.
        expected, found: Minor units of money, pieces of all else.
    """

    account: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing on which ledger and participant disagree about an order.

    Attributes:
        kind: As in `docs/auditing.md`, for example `undone_order_holds_money`.
        order: Id of the order, as the participant names it.
        status: As the ledger has it; None where it has no such order.
        meaning: In a sentence.
        differences: The balances that are not as they must be; none for `stuck_order`.
        mend: Commands that mend it, in their order; empty where a person has to find out what was done.
        saga: What the order runs; None where the ledger does not say.
        value_minor: Value at risk in minor units; None where nobody can tell.
        currency: Of that; None where the ledger does not say.
    """

    kind: str
    order: str
    status: str | None
    meaning: str
    differences: tuple[Difference, ...] = ()
    mend: tuple[str, ...] = ()
    saga: str | None = None
    value_minor: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class _Undo:
    """How an effect is undone at the participants that ship.

    Attributes:
        account: Must stand, or there is nothing to undo.
        endpoint: What undoes it.
        made_by: Kind of the effect whose step the thing's id derives from; None for things that bear the order's id.
    """

    account: str
    endpoint: Endpoint[Any, Any]
    made_by: str | None = None


_UNDOING: Final[Mapping[str, _Undo]] = {
    "shipment_scheduled": _Undo("shipping.shipments", shipping.cancel, "shipment_scheduled"),
    "captured": _Undo("payments.captured", payments.refund, "authorized"),
    "authorized": _Undo("payments.authorized", payments.void, "authorized"),
    "stock_reserved": _Undo("inventory.reserved", inventory.release),
    "stock_confirmed": _Undo("inventory.reserved", inventory.release),
    "stock_tried": _Undo("inventory.tried", inventory.cancel_stock),
    "order_created": _Undo("orders.created", orders.cancel),
}
"""By the kind of effect, and in the order in which an order is taken back: goods before money, money before stock."""


def drifts_of(
    order: str,
    status: str | None,
    found: Sequence[Difference],
    effects: Sequence[Logged],
    participants: Mapping[str, str | None],
) -> Iterator[Drift]:
    """Say what differences of one order mean, and what mends them.

    Args:
        order: Its id.
        status: As the ledger has it; None where it does not know the order.
        found: The differences, by account in alphabetical order.
        effects: All effects of the order.
        participants: Base URL of each participant.
    """
    for participant, group in groupby(found, key=lambda difference: difference.account.partition(".")[0]):
        of_participant = tuple(group)
        thing, situation = THINGS.get(participant, "effect"), _situation(status, of_participant)
        kind = f"{situation}_{thing}"
        yield Drift(
            kind=kind,
            order=order,
            status=status,
            meaning=MEANINGS[situation].format(participant=participant, thing=thing),
            differences=of_participant,
            mend=_mend(situation, kind, order, participant, effects, participants),
            # One amount may be missing on one account and stand on another; it is at risk once.
            value_minor=max(abs(d.found - d.expected) for d in of_participant) if thing == "money" else None,
        )


def stuck(order: str, saga: str, reason: str | None, value_minor: int | None, currency: str | None) -> Drift:
    """Return what is said of an order that waits for an operator."""
    return Drift(
        kind="stuck_order",
        order=order,
        status=Status.STUCK,
        meaning=f"{MEANINGS['stuck_order']}: {reason}" if reason else MEANINGS["stuck_order"],
        mend=(_retry_all(saga, reason),),
        saga=saga,
        value_minor=value_minor,
        currency=currency,
    )


def standing(effects: Sequence[Logged]) -> tuple[Difference, ...]:
    """Return what stands of an order of which nothing may, by account in alphabetical order."""
    return tuple(Difference(account, 0, balance) for account, balance in sorted(balances(effects).items()) if balance)


@dataclass(slots=True)
class ValueAtRisk:
    """Sums what is at risk, each order once.

    Attributes:
        by_currency: Minor units by currency; `unknown` where the ledger does not say.
        orders_unvalued: Orders of which nobody can tell what they are worth.
    """

    by_currency: dict[str, int] = field(default_factory=dict)
    orders_unvalued: int = 0

    @classmethod
    def of(cls, drifts: Sequence[Drift]) -> "ValueAtRisk":
        """Sum the drift of many orders: of each order what is most, as what differs at several participants is one sale."""
        worth: dict[str, tuple[int, str]] = {}
        for drift in drifts:
            if drift.value_minor is not None:
                most = max(drift.value_minor, worth.get(drift.order, (0, ""))[0])
                worth[drift.order] = (most, drift.currency or UNKNOWN)
        at_risk = cls(orders_unvalued=len({drift.order for drift in drifts} - worth.keys()))
        for value_minor, currency in worth.values():
            at_risk.by_currency[currency] = at_risk.by_currency.get(currency, 0) + value_minor
        return at_risk


def _situation(status: str | None, differences: Sequence[Difference]) -> str:
    if status is None:
        return "unknown_order_holds"
    if status != Status.COMPLETED:
        return "undone_order_holds"
    lacks = any(difference.found < difference.expected for difference in differences)
    return "completed_order_lacks" if lacks else "completed_order_exceeds"


def _mend(
    situation: str,
    kind: str,
    order: str,
    participant: str,
    effects: Sequence[Logged],
    participants: Mapping[str, str | None],
) -> tuple[str, ...]:
    if situation == "completed_order_lacks":
        return (_verb("cancel", order, kind),)
    if situation == "completed_order_exceeds":
        return ()  # taking all of it back would take what is right too
    return tuple(_undo_calls(participant, effects, participants.get(participant) or ""))


def _undo_calls(participant: str, effects: Sequence[Logged], url: str) -> Iterator[str]:
    """Return the calls that undo what stands, under the keys under which the ledger would: the fence takes them once."""
    ours = [effect for effect in effects if effect.ours and effect.participant == participant]
    stands, made_by = balances(ours), {effect.kind: effect for effect in ours}
    for kind, undo in _UNDOING.items():
        effect, maker = made_by.get(kind), made_by.get(undo.made_by or kind)
        if effect is None or maker is None or stands[undo.account] <= 0:
            continue
        order, step, _ = effect.key.split(":")
        thing = str(resource_id(*maker.key.split(":")[:2]))
        names = {"order_id": effect.order, "order_ledger_id": effect.order, "authorization_id": thing, "shipment_id": thing}
        reference = undo.endpoint.request.model_construct(**names)
        key = operation_key(order, step, Direction.COMPENSATION)
        yield _curl(undo.endpoint, f"{url}{undo.endpoint.url_path(reference)}", key, names)
        stands[undo.account] = 0  # one call takes back all of it


def _curl(endpoint: Endpoint[Any, Any], url: str, key: str, names: Mapping[str, str]) -> str:
    words = ["curl", "--fail-with-body", "--request", endpoint.method, url, "--header", f"Idempotency-Key: {key}"]
    if endpoint.has_body:
        body = {name: names[name] for name in endpoint.request.model_fields}
        words += ["--header", "Content-Type: application/json", "--data", orjson.dumps(body).decode()]
    return shlex.join(words)


def _retry_all(saga: str, reason: str | None) -> str:
    """Return the command that previews a retry of all orders STUCK for one cause: what of a reason has no ids in it."""
    cause = max(_ID.split(reason or ""), key=len).strip()
    like = ["--error-like", cause[:TEXT_MAX]] if cause else []
    words = ["saga", "ledger", "retry", "--all", "--status", "STUCK", "--saga", saga, *like]
    return shlex.join([*words, "--reason", "what was mended", "--dry-run"])


def _verb(verb: str, order: str, kind: str) -> str:
    return shlex.join(["saga", "ledger", verb, order, "--reason", f"reconcile: {kind}"])
