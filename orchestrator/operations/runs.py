"""What runs of retries there are, and how each stands: `saga ledger retry --runs`, `--run RUN`."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console

from orchestrator.operations.asking import Connection, ask
from orchestrator.operations.render import open_console, print_json, print_table, say, short
from sql import retrying
from sql.ledger import LedgerError
from sql.models import Json
from sql.retrying import Run


class NoRun(LedgerError):
    """There is no such run, or nothing to be retried; nothing was changed."""


async def find(conn: Connection, run_id: int, *, since: datetime | None = None) -> Run:
    """Return a run as it stands.

    Args:
        conn: To the ledger.
        run_id: Its number.
        since: From when on what is counted "since" counts; None for its begin.

    Raises:
        NoRun: There is none of this number.
    """
    found = await retrying.list_runs(conn, run_id, since=since)
    if not found:
        raise NoRun(f"there is no run {run_id}: see `saga ledger retry --runs`")
    return found[0]


def show_runs(database_url: str, *, limit: int, as_json: bool) -> None:
    """Print runs, the newest first."""

    async def read(conn: Connection) -> list[Run]:
        await retrying.note_ended(conn)
        return await retrying.list_runs(conn, limit=limit)

    runs = ask(database_url, read)
    if as_json:
        print_json({"runs": [asdict(run) for run in runs]})
        return
    console = open_console()
    rows = [(r.run_id, short(r.begun_at), r.actor, r.orders, r.outstanding, r.refused, r.went_wrong, r.reason) for r in runs]
    print_table(console, ("RUN#", "BEGUN UTC", "BY", "ORDERS#", "LEFT#", "REFUSED#", "WRONG#", "REASON"), rows, gap=1)
    if not runs:
        console.print("no runs: see `saga ledger retry --help`")


def show_run(database_url: str, run_id: int, *, as_json: bool) -> None:
    """Print one run with each of its orders.

    Raises:
        NoRun: There is none of this number.
    """

    async def read(conn: Connection) -> tuple[Run, list[Json]]:
        await retrying.note_ended(conn, run_id)
        return await find(conn, run_id), await retrying.list_set(conn, run_id)

    run, orders = ask(database_url, read)
    if as_json:
        print_json({**asdict(run), "set": orders})
        return
    console = open_console()
    print_run(console, run)
    print_table(console, ("ORDER", "WAS", "NOW"), [(o["order_ledger_id"], o["status"], _became(o)) for o in orders])


def print_run(console: Console, run: Run) -> None:
    """Print how a run stands, in sentences."""
    say(console, f"run {run.run_id}: {stands(run)}")
    if run.refused:
        say(console, f"{orders_of(run.refused)} could not be retried: `saga ledger retry --run {run.run_id}` says why of each")
    if run.went_wrong:
        say(console, f"{orders_of(run.went_wrong)} went wrong: STUCK again, or not completed")
    if run.outstanding:
        stopped = f"it was stopped: {run.stopped_why}; " if run.stopped_why else ""
        say(console, f"{stopped}{orders_of(run.outstanding)} left: {how_on(run)}")
    elif run.stopped_why:
        say(console, f"it was not waited for any longer: {run.stopped_why}")


def orders_of(count: int) -> str:
    """Return a number of orders in words."""
    return f"{count:,} order{'s' * (count != 1)}"


def stands(run: Run) -> str:
    """Return how far a run is, in words."""
    by_status = ", ".join(f"{count:,} {status}" for status, count in sorted(run.ended.items()))
    ended = f"; {ended_of(run)}: {by_status}" if run.ended else ""
    return f"{run.retried:,} of {orders_of(run.orders)} retried, {run.retried - sum(run.ended.values()):,} on their way{ended}"


def ended_of(run: Run) -> str:
    """Return how many of a run's orders ended well and how many not; FAILED is well where an order was to be undone."""
    return f"{sum(run.ended.values()) - run.went_wrong:,} ended as wanted, {run.went_wrong:,} wrong"


def how_on(run: Run) -> str:
    """Return what to type to go on with a run."""
    return f"go on with `saga ledger retry --resume {run.run_id}`"


def still_of(earlier: Mapping[int, int]) -> list[str]:
    """Return, of each earlier run that has orders of another one left, that it has."""
    return [
        f"run {run_id} still has {left:,} of these to retry: `saga ledger retry --resume {run_id}`"
        for run_id, left in earlier.items()
    ]


def _became(order: Mapping[str, Any]) -> str:
    if order["refused"]:
        return f"refused: {order['refused']}"
    if order["tried_at"] is None:
        return "not retried yet"
    now = order["ended_as"] or "on its way"
    return now if order["goes_on_as"] == order["order_ledger_id"] else f"{now}, as {order['goes_on_as']}"
