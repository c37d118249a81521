"""Replays a file of invoices on a stack: stock first, then every invoice as an order, then what became of each line."""

import asyncio
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.operations.replay import CANCELLATION, COLUMNS, Fate, Invoice, Replay, read_replay
from orchestrator.operations.shop import Placed, Shop

CONCURRENCY: Final = 16
GZIP_MAGIC: Final = b"\x1f\x8b"


class ReplayError(Exception):
    """A file can't be replayed; nothing was started."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where every line of a file went.

    Attributes:
        lines: Lines of the file.
        by_fate: Lines by what became of them, and why, where there is a reason to state.
        orders: Orders by the status in which they ended.
        repeats: Requests that were sent again after 409, 429, 503 or a lost connection.
    """

    lines: int
    by_fate: dict[tuple[Fate, str], int]
    orders: dict[str, int]
    repeats: int

    @property
    def complete(self) -> bool:
        """Whether each line is accounted for once, and every order completed."""
        return sum(self.by_fate.values()) == self.lines and not any(fate is Fate.UNDONE for fate, _ in self.by_fate)


def read_file(path: Path) -> Replay:
    """Read a file of invoices, plain or compressed by gzip.

    Raises:
        ReplayError: It can't be read, or its columns are others.
    """
    try:
        data = path.read_bytes()
        if data.startswith(GZIP_MAGIC):
            data = gzip.decompress(data)
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise ReplayError(f"{path} has no column {missing[0]}: the columns have to be {', '.join(COLUMNS)}")
        lines = list(rows)
    except OSError as error:
        # gzip's own errors are OSErrors without a number.
        raise ReplayError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ReplayError(f"{path} can't be read: it is neither UTF-8 text nor gzip") from None
    except (EOFError, zlib.error, csv.Error) as error:
        raise ReplayError(f"{path} can't be read: {error}") from None
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():
            raise ReplayError(f"{path} can't be read: line {number} has not as many columns as the first")
    return read_replay(lines)


async def replay_orders(replay: Replay, shop: Shop, say: Callable[[str], None]) -> AsyncIterator[tuple[Invoice, Placed]]:
    """Stock what the file sells, place its orders, and yield each with its end, as they end.

    Args:
        replay: The file.
        shop: Who places them.
        say: Given a sentence for each phase.

    Raises:
        ShopError: A product or an order was not taken, or an order did not end.
    """
    stock = replay.stock
    say(f"{len(stock):,} products get their stock")
    limit = asyncio.Semaphore(CONCURRENCY)

    async def supply(sku: str, name: str, quantity: int) -> None:
        async with limit:
            await shop.add_product(sku, name, quantity)

    async def place(invoice: Invoice) -> tuple[Invoice, Placed]:
        async with limit:
            return invoice, await shop.place(f"invoice-{invoice.number}", invoice.body)

    await asyncio.gather(*(supply(sku, name, quantity) for sku, (name, quantity) in stock.items()))
    say(f"{len(replay.invoices):,} orders are placed, {CONCURRENCY} at once")
    tasks = [asyncio.create_task(place(invoice)) for invoice in replay.invoices]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def take_account(replay: Replay, ends: list[tuple[Invoice, Placed]]) -> Account:
    """Say what became of every line of a file, given the end of each of its orders."""
    by_fate: Counter[tuple[Fate, str]] = Counter()
    for reason, count in replay.refused.items():
        by_fate[Fate.REFUSED, reason] += count
    by_fate[Fate.CANCELLED, CANCELLATION] += replay.cancelled
    for invoice, placed in ends:
        if placed.status == "COMPLETED":
            by_fate[Fate.PLACED, ""] += len(invoice.items)
            by_fate[Fate.MERGED, "same product and price twice in one invoice"] += invoice.merged
        elif placed.status == "REFUSED":
            by_fate[Fate.UNDONE, f"the edge refused the order: {placed.answer.get('title', 'without a reason')}"] += (
                invoice.lines
            )
        else:
            by_fate[Fate.UNDONE, f"the order ended {placed.status}"] += invoice.lines
    return Account(
        lines=replay.lines,
        by_fate={key: count for key, count in by_fate.items() if count},
        orders=dict(Counter(placed.status for _, placed in ends)),
        repeats=sum(placed.repeats for _, placed in ends),
    )
