"""Kinds of values on the command line that click does not have."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import click
from click.shell_completion import CompletionItem

from sql.models import Status

DIGITS_MIN: Final = 8
"""As many as lists show where there is little room: fewer would mean many orders."""
TEXT_MAX: Final = 500
"""As over HTTP: what is recorded is shown in tables."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first digits of an order's id, for which the ledger knows the rest.

    Attributes:
        digits: Hexadecimal, `DIGITS_MIN` to 31 of them.
    """

    digits: str

    @property
    def span(self) -> tuple[UUID, UUID]:
        """The first and the last id that begins so."""
        return UUID(self.digits.ljust(32, "0")), UUID(self.digits.ljust(32, "f"))


class _OrderId(click.ParamType[UUID | Beginning]):
    """An order's id or its beginning, with dashes or without."""

    name = "order id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID | Beginning:
        """Read it."""
        digits = str(value).lower().replace("-", "")
        if not re.fullmatch(rf"[0-9a-f]{{{DIGITS_MIN},32}}", digits):
            self.fail(f"{value!r} is no order's id, and not {DIGITS_MIN} digits of its beginning", param, ctx)
        return UUID(digits) if len(digits) == 32 else Beginning(digits)


class _Time(click.ParamType[datetime]):
    """An ISO 8601 time, as this project prints it; UTC where it says no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        try:
            time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 time, such as 2026-01-31T09:00:00Z", param, ctx)
        return time.replace(tzinfo=time.tzinfo or UTC)


class _Status(click.ParamType[str]):
    """A status, in upper or lower case; shown and completed as it is written everywhere else.

    Args:
        statuses: Those that are meant.
    """

    name = "status"

    def __init__(self, statuses: Iterable[Status]) -> None:
        self._statuses = tuple(status.value for status in statuses)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        status = str(value).upper()
        if status not in self._statuses:
            self.fail(f"{value!r} is not one of {', '.join(self._statuses)}", param, ctx)
        return status

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return those that begin so."""
        return [CompletionItem(status) for status in self._statuses if status.startswith(incomplete.upper())]


class _Text(click.ParamType[str]):
    """A text that says something."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        text = str(value).strip()
        if not text:
            self.fail("must not be empty", param, ctx)
        if len(text) > TEXT_MAX:
            self.fail(f"must have at most {TEXT_MAX} characters", param, ctx)
        return text


class _Address(click.ParamType[str]):
    """Where a participant can be."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        from orchestrator.addresses import http_url
        from orchestrator.operations.place import checked_settings

        try:
            return http_url(str(value), checked_settings().participant_reach)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Name(click.ParamType[str]):
    """A name of a participant or a webhook."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", str(value)):
            self.fail("must be lower-case letters, digits, - and _, a letter first, at most 63", param, ctx)
        return str(value)


class _Participant(_Name):
    """A participant's name; it may be one of a team's own."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return those that ship and begin so; others are known to the ledger alone."""
        from orchestrator.operations.commands.shared import PARTICIPANTS

        return [CompletionItem(name) for name in PARTICIPANTS if name.startswith(incomplete)]


class _Client(click.ParamType[str]):
    """Whose a key is; that client's orders are seen by nobody else."""

    name = "client"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        from orchestrator.api_keys import CLIENT

        if not re.fullmatch(CLIENT, str(value)):
            self.fail("must be up to 64 letters, digits and any of . _ : @ -", param, ctx)
        return str(value)


class _Saga(click.ParamType[str]):
    """A saga's name. It may be one whose code is gone: the ledger can still have its orders."""

    name = "saga"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it as it is."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the sagas of this installation's code that begin so."""
        from orchestrator.loading import registered
        from orchestrator.settings import SettingsError, load_settings

        try:
            names = sorted({saga.name for saga in registered(load_settings())})
        except SettingsError:
            return []  # the command itself says what is wrong; here it would stand in the middle of what is being typed
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class _Duration(click.ParamType[float]):
    """A time span, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)?", str(value))
        if not found or float(found[1]) == 0:
            self.fail("must be a number above 0 and a unit, such as 90s, 10m, 2h or 1d", param, ctx)
        return float(found[1]) * _UNITS_S[found[2] or "s"]


_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
ADDRESS: Final = _Address()
DURATION: Final = _Duration()
CLIENT: Final = _Client()
NAME: Final = _Name()
ORDER_ID: Final = _OrderId()
PARTICIPANT: Final = _Participant()
SAGA: Final = _Saga()
TIME: Final = _Time()
TEXT: Final = _Text()
STATUS: Final = _Status(Status)
RETRYABLE: Final = _Status((Status.STUCK, Status.FAILED))
