"""`saga ledger retry --all`, and going on with such a run."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Final
from uuid import UUID

import psycopg
from rich.console import Console

from orchestrator.definitions import Definitions
from orchestrator.loading import registered
from orchestrator.money import money
from orchestrator.operations import bulk
from orchestrator.operations.asking import Connection, ask, connected
from orchestrator.operations.bulk import Preview, Wanted
from orchestrator.operations.bulk_pace import Terms
from orchestrator.operations.render import open_console, print_json, print_table, progress_bar, say
from orchestrator.operations.runs import ended_of, find, how_on, orders_of, print_run, stands, still_of
from orchestrator.settings import load_settings
from orchestrator.verdict import Verdict
from sql import acts, retrying
from sql.ledger import LedgerError
from sql.retrying import Run

LINE_S: Final = 2.0
"""Between two lines that say how far it is, where no bar can be drawn."""

Begin = Callable[[Connection], Awaitable[Run]]


class BrokenOff(LedgerError):
    """A run was broken off; what was retried is noted and goes on, the rest can be gone on with."""

    def __init__(self, run: Run, why: str, code: int) -> None:
        super().__init__(f"{why}; what was retried goes on, the rest waits: {how_on(run)}")
        self.exit_code = code


def retry_all(database_url: str, wanted: Wanted, terms: Terms, *, actor: str, reason: str, as_json: bool) -> int:
    """Retry a set of orders, and print what became of them.

    Returns:
        The exit code: 0 where every order was tried, and none that has ended went wrong.

    Raises:
        NoRun: There is no such order.
        BrokenOff: The run was broken off; the sentence says how to go on with it.
    """

    async def begun(conn: Connection) -> Run:
        return await bulk.begin(conn, wanted, terms, actor=actor, reason=reason)

    return _carried_out(database_url, begun, {}, actor=actor, as_json=as_json)


def resume(database_url: str, run_id: int, changes: Mapping[str, Any], *, actor: str, reason: str | None, as_json: bool) -> int:
    """Go on with a run where it stands, and print what became of it.

    Args:
        database_url: The ledger's.
        run_id: The run.
        changes: Terms that are to be others than those that it was begun with.
        actor: Who goes on with it, for the record and the journals of its orders.
        reason: Why, for the record; None where there is nothing to say beside the reason of the run.
        as_json: Print JSON.

    Returns:
        The exit code, as that of `retry_all`.

    Raises:
        NoRun: There is none of this number.
        BrokenOff: It was broken off again.
    """

    async def found(conn: Connection) -> Run:
        run = await find(conn, run_id)
        await acts.insert_act(conn, "resume_retry_run", str(run_id), actor=actor, reason=reason or "", details=dict(changes))
        return run

    return _carried_out(database_url, found, changes, actor=actor, as_json=as_json)


def show_preview(database_url: str, wanted: Wanted, terms: Terms, *, actor: str, reason: str, as_json: bool) -> None:
    """Print what a retry of a set of orders would be; nothing is changed.

    Raises:
        NoRun: There is no such order.
    """

    async def previewed(conn: Connection) -> Preview:
        return await bulk.preview(conn, _definitions(), wanted, terms, actor=actor, reason=reason)

    found = ask(database_url, previewed)
    if as_json:
        print_json({**asdict(found), "first": [_document(*each) for each in found.first], "dry_run": True})
    else:
        print_preview(open_console(), wanted, found)


def print_preview(console: Console, wanted: Wanted, found: Preview) -> None:
    """Print what a run would be."""
    anew = ", each placed anew as an order of its own" if wanted.status == "FAILED" else ""
    value = " and ".join(money(minor, currency) for currency, minor in sorted(found.value.items()))
    say(console, f"{orders_of(found.orders)} {wanted.status} would be retried{anew}" + (f": {value}" if value else ""))
    rows = [(reason["orders"], reason["step"], reason["error"] or "no error is recorded") for reason in found.reasons]
    rest = found.orders - sum(reason["orders"] for reason in found.reasons)
    print_table(console, ("ORDERS#", "STEP", "REASON"), rows)
    if rest:
        say(console, f"{rest:,} stand where they do for other reasons")
    for order, answer in found.first:
        if isinstance(answer, str):
            say(console, f"order {order} would be refused: {answer}")
            continue
        say(console, f"order {order} would be followed by:")
        for number, call in enumerate(answer.calls, start=1):
            say(console, f"{number:>4}  {call}")
        for sentence in answer.irreversible:
            say(console, f"can't be undone: {sentence}")
    for sentence in still_of(found.earlier):
        say(console, sentence)
    if found.orders > len(found.first):
        say(console, f"and so on for {orders_of(found.orders - len(found.first))} more")
    console.print("nothing was changed")


class Shown:
    """Shows how far a run is: a bar on a terminal, a line now and then where the output is piped, nothing when quiet.

    Args:
        console: For the lines.
        quiet: Whether nothing is to be shown.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._bar = progress_bar(quiet=quiet)
        self._task = self._bar.add_task("retrying", total=None)
        self._said_s = time.monotonic()
        self.run: Run | None = None

    def __call__(self, run: Run) -> None:
        """Show how far it is now."""
        self.run = run
        self._bar.update(self._task, total=run.orders, completed=run.orders - run.outstanding, description=ended_of(run))
        if self._bar.disable and not self._quiet and time.monotonic() - self._said_s >= LINE_S:
            self._said_s = time.monotonic()
            say(self._console, f"run {run.run_id}: {stands(run)}")


def _carried_out(database_url: str, begun: Begin, changes: Mapping[str, Any], *, actor: str, as_json: bool) -> int:
    console = open_console()
    shown = Shown(console, quiet=as_json)

    async def carry_out() -> Run:
        definitions = _definitions()
        async with connected(database_url) as conn:
            await conn.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
            run = await begun(conn)
            said = {**run.asked, **changes}
            terms = Terms(**{field.name: said[field.name] for field in fields(Terms)})
            if not as_json:
                for sentence in still_of(await retrying.list_left_elsewhere(conn, run.run_id)):
                    say(console, sentence)
                say(console, f"run {run.run_id}: {orders_of(run.outstanding)} to retry{_carefully(terms)}")
            shown(run)
            with shown._bar:
                return await bulk.go_on(conn, definitions, run, terms, actor=actor, told=shown)

    try:
        run = asyncio.run(carry_out())
    except KeyboardInterrupt:
        if shown.run is None:
            raise
        raise BrokenOff(shown.run, "stopped", 130) from None
    except psycopg.OperationalError:
        if shown.run is None:
            raise
        raise BrokenOff(shown.run, "the database went away", 1) from None
    if as_json:
        print_json(asdict(run))
    else:
        print_run(console, run)
    return 1 if run.outstanding or run.stopped_why or run.went_wrong else 0


def _definitions() -> Definitions:
    settings = load_settings()
    return Definitions(registered(settings), settings)


def _carefully(terms: Terms) -> str:
    pace = f", {terms.rate:g} a second" if terms.rate else ""
    return pace + (f", {terms.canary:,} of them first" if terms.canary else "")


def _document(order: UUID, answer: Verdict | str) -> dict[str, Any]:
    told: dict[str, Any] = (
        {"refused": answer} if isinstance(answer, str) else {"calls": answer.calls, "left": answer.irreversible}
    )
    return {"order_ledger_id": order, **told}
