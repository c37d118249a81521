"""What people ask of an order on its way: values that the core decides on like on everything else that is observed."""

from msgspec import Struct

from sql.models import Status


class CancelRequested(Struct, frozen=True):
    """Somebody asked for the order to be undone."""

    actor: str
    reason: str


class Retried(Struct, frozen=True):
    """An operator asked a stuck order to go on."""

    actor: str
    reason: str


class Paused(Struct, frozen=True):
    """An operator wants no further call of the order made for now."""

    actor: str
    reason: str


class Resumed(Struct, frozen=True):
    """An operator asked a paused order to go on where it stands."""

    actor: str
    reason: str


class Resolved(Struct, frozen=True):
    """An operator says how an order ends on which nothing happens by itself; no call follows.

    Attributes:
        ending: COMPLETED or FAILED.
        actor: Who.
        reason: Why.
    """

    ending: Status
    actor: str
    reason: str
