"""`saga purge`: retention by hand."""

import asyncio
from datetime import datetime

from orchestrator.operations.asking import connected
from orchestrator.operations.render import open_console, print_json, progress_bar, utc
from orchestrator.retention import BATCH
from sql import retention, retrying


def purge(database_url: str, *, older_than_days: float, dry_run: bool, as_json: bool) -> None:
    """Remove finished orders and print how many, with a progress bar on a terminal.

    Each batch is a transaction of its own: what was removed before an interruption stays removed, and a later run goes on.
    """
    console = open_console()
    found, removed = asyncio.run(_purge(database_url, older_than_days, dry_run=dry_run, quiet=as_json))
    if as_json:
        oldest = found.oldest.isoformat() if found.oldest else None
        print_json({"older_than_days": older_than_days, "found": found.orders, "oldest": oldest, "removed": removed})
    elif dry_run:
        console.print(f"{_orders(found.orders)} finished more than {_days(older_than_days)} ago{_since(found.oldest)}")
    else:
        console.print(f"removed {_orders(removed)} that finished more than {_days(older_than_days)} ago")


async def _purge(database_url: str, days: float, *, dry_run: bool, quiet: bool) -> tuple[retention.Purgeable, int]:
    removed = 0
    async with connected(database_url) as conn:
        found = await retention.count_purgeable(conn, older_than_days=days)
        if dry_run:
            return found, 0
        with progress_bar(quiet=quiet) as bar:
            shown = bar.add_task("purging", total=found.orders)
            while batch := await retention.purge_orders(conn, older_than_days=days, orders_max=BATCH):
                removed += batch
                bar.advance(shown, batch)
            while await retrying.forget_retried(conn, older_than_days=days, orders_max=BATCH):
                pass
    return found, removed


def _orders(number: int) -> str:
    return f"{number:,} order{'s' * (number != 1)}"


def _days(number: float) -> str:
    return f"{number:g} day{'s' * (number != 1)}"


def _since(oldest: datetime | None) -> str:
    return f"; the oldest was created on {utc(oldest):%Y-%m-%d}" if oldest else ""
