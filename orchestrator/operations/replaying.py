"""Replays a file of invoices on a stack: stock first, then every invoice as an order, then cancellations of whole orders."""

import asyncio
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.operations.invoices import Invoice
from orchestrator.operations.replay import COLUMNS, Fate, Replay, read_replay
from orchestrator.operations.shop import Placed, Shop

CONCURRENCY: Final = 16
GZIP_MAGIC: Final = b"\x1f\x8b"


class ReplayError(Exception):
    """A file can't be replayed; nothing was started."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where every line of a file went, and how it went with its orders.

    Attributes:
        lines: Lines of the file.
        by_fate: Lines by what became of them, and why, where there is a reason to state.
        orders: Orders by the status in which they are in the end.
        repeats: Requests that were sent again after 409, 429, 503 or a lost connection.
    """

    lines: int
    by_fate: dict[tuple[Fate, str], int]
    orders: dict[str, int]
    repeats: int

    @property
    def complete(self) -> bool:
        """Whether each line is accounted for once, and every order was completed, or cancelled where the file has it so."""
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


async def cancel_orders(
    replay: Replay, ends: Sequence[tuple[Invoice, Placed]], shop: Shop, say: Callable[[str], None]
) -> dict[str, str]:
    """Cancel the orders that the file's cancellations take back whole.

    Args:
        replay: The file.
        ends: How each of its orders ended.
        shop: Who asks for it.
        say: Given a sentence.

    Returns:
        For each such invoice an empty text when its order is cancelled, else how it is instead.
    """
    orders = {invoice.number: placed for invoice, placed in ends}
    wanted = {invoice: one.number for one in replay.cancellations for invoice in one.cancels}
    say(f"orders to be cancelled: {len(wanted):,}, by {len(replay.cancellations):,} cancellations in the file")
    limit = asyncio.Semaphore(CONCURRENCY)

    async def cancel(invoice: str, cancellation: str) -> str:
        placed = orders.get(invoice)
        if placed is None or placed.order_ledger_id is None or placed.status != "COMPLETED":
            return "its order had not completed"
        async with limit:
            return await shop.take_back(placed.order_ledger_id, f"cancellation {cancellation}")

    found = await asyncio.gather(*(cancel(*pair) for pair in wanted.items()))
    return dict(zip(wanted, found, strict=True))


def take_account(replay: Replay, ends: Sequence[tuple[Invoice, Placed]], taken_back: Mapping[str, str]) -> Account:
    """Say what became of every line of a file.

    Args:
        replay: The file.
        ends: How each of its orders ended.
        taken_back: What `cancel_orders` has returned.
    """
    by_fate: Counter[tuple[Fate, str]] = Counter()
    for reason, count in replay.refused.items():
        by_fate[Fate.REFUSED, reason] += count
    for line in (line for one in replay.cancellations for line in one.lines):
        wrong = taken_back.get(line.invoice, "nobody asked for it")
        if line.refusal:
            by_fate[Fate.REFUSED, line.refusal] += 1
        elif wrong:
            by_fate[Fate.UNDONE, f"cancellation: {wrong}"] += 1
        else:
            by_fate[Fate.CANCELLED, "takes back an order that was cancelled for it"] += 1
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
        orders=dict(
            Counter("CANCELLED" if taken_back.get(invoice.number) == "" else placed.status for invoice, placed in ends)
        ),
        repeats=sum(placed.repeats for _, placed in ends),
    )
