"""`saga drain`: what is still on a version of a saga, so that its code can go when nothing is."""

import asyncio
import time
from typing import Final

from orchestrator.operations.asking import connected
from orchestrator.operations.render import open_console, print_json, print_table, say, short
from sql import config
from sql.ledger import LedgerError, list_fingerprints
from sql.models import Json

POLL_S: Final = 2.0
"""Between two looks while it waits; a look reads what is unfinished only."""


class NotDrained(LedgerError):
    """Orders are still on the version; nothing was changed."""


class NeverRun(LedgerError):
    """The ledger has never had this version; a misspelt name must not look like one that nothing is on."""


def drain(database_url: str, saga: str, version: int, *, wait: bool, timeout_s: float | None, as_json: bool) -> None:
    """Print what is still on a version of a saga; wait, if asked to, until nothing is.

    Args:
        database_url: The ledger.
        saga: Name of the saga; its code may be gone.
        version: Which version.
        wait: Whether to wait.
        timeout_s: Seconds after which waiting is given up; None for never.
        as_json: Print JSON.

    Raises:
        NeverRun: No process has ever registered this version.
        NotDrained: Something was still on it when the time was over.
    """
    left = asyncio.run(_left(database_url, saga, version, timeout_s if wait else 0.0))
    orders = sum(row["orders"] for row in left)
    if as_json:
        print_json({"saga": saga, "version": version, "orders": orders, "by_status": left})
    else:
        _print(saga, version, left, orders)
    if wait and orders:
        raise NotDrained(f"{orders} orders are still on version {version} of saga {saga}")


async def _left(database_url: str, saga: str, version: int, timeout_s: float | None) -> list[Json]:
    began_s = time.monotonic()
    async with connected(database_url) as conn:
        if not await list_fingerprints(conn, saga=saga, version=version):
            raise NeverRun(f"no process has ever run version {version} of a saga {saga}: see `saga definitions list`")
        while True:
            left = await config.count_unfinished(conn, saga, version)
            if not left or (timeout_s is not None and time.monotonic() - began_s >= timeout_s):
                return left
            await asyncio.sleep(POLL_S if timeout_s is None else min(POLL_S, max(timeout_s, 0.0)))


def _print(saga: str, version: int, left: list[Json], orders: int) -> None:
    console = open_console()
    if not left:
        say(console, f"nothing is on version {version} of saga {saga}")
        return
    say(console, f"{orders} orders are on version {version} of saga {saga}")
    rows = [(row["status"], row["orders"], short(row["oldest_at"]), row["oldest"]) for row in left]
    print_table(console, ("STATUS", "ORDERS#", "OLDEST UTC", "WHICH"), rows)
    if any(row["status"] == "STUCK" for row in left):
        say(console, "what is STUCK waits for an operator: see `saga ledger list --stuck`")
