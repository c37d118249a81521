"""`saga audit replay`: stored journals run through the core once more, and every decision compared."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import UUID

from rich.console import Console
from rich.status import Status as Spinner

from orchestrator.operations.asking import connected
from orchestrator.operations.audit_report import ROWS_MAX
from orchestrator.operations.render import open_console, plain, print_json
from orchestrator.retrace import Difference, retrace
from orchestrator.saga import Saga
from orchestrator.snapshot import saga_of
from sql.histories import History, page_histories
from sql.ledger import LedgerError, OrderNotFound

PAGE_ORDERS: Final = 200


class NothingToReplay(LedgerError):
    """No order has a journal; nothing was checked, so nothing can be said to be well."""


@dataclass(slots=True)
class Replayed:
    """What came of it.

    Attributes:
        orders, entries: How many were replayed.
        differing: Orders that differ.
        differences: Order and difference, of the first orders that differ.
    """

    orders: int = 0
    entries: int = 0
    differing: int = 0
    differences: list[tuple[UUID, Difference]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every decision and every row was the same."""
        return self.differing == 0

    def add(self, history: History, differences: tuple[Difference, ...]) -> None:
        """Count an order."""
        self.orders += 1
        self.entries += len(history.journal)
        self.differing += bool(differences)
        if self.differing <= ROWS_MAX:
            self.differences += ((history.order_ledger_id, difference) for difference in differences)


def show_replay(database_url: str, order_ledger_id: UUID | None, *, as_json: bool) -> int:
    """Replay one order's journal, or all; return 0 when nothing differs, else 1.

    Raises:
        OrderNotFound: There is no such order.
        NothingToReplay: No order has a journal.
    """
    console = open_console()
    if console.is_terminal and not as_json:
        with console.status("replaying …") as spinner:
            replayed = asyncio.run(_replay(database_url, order_ledger_id, spinner))
    else:
        replayed = asyncio.run(_replay(database_url, order_ledger_id, None))
    if as_json:
        found = [{"order_ledger_id": order, **asdict(difference)} for order, difference in replayed.differences]
        counts = {"orders": replayed.orders, "entries": replayed.entries, "differing": replayed.differing}
        print_json({"clean": replayed.clean, **counts, "differences": found})
    else:
        _print(console, replayed)
    return 0 if replayed.clean else 1


async def _replay(database_url: str, order_ledger_id: UUID | None, spinner: Spinner | None) -> Replayed:
    replayed, sagas = Replayed(), dict[UUID, Saga[Any]]()
    async for history in _histories(database_url, order_ledger_id):
        replayed.add(history, retrace(history, _known(sagas, history)))
        if spinner is not None and replayed.orders % PAGE_ORDERS == 0:
            spinner.update(f"replaying … {replayed.orders:,} orders, {replayed.differing:,} differ")
    if order_ledger_id is not None and not replayed.orders:
        raise OrderNotFound(f"the ledger has no order {order_ledger_id}")
    if not replayed.entries:
        raise NothingToReplay("there was nothing to replay: no order has a journal entry yet")
    return replayed


async def _histories(database_url: str, order_ledger_id: UUID | None) -> AsyncIterator[History]:
    """Read page by page: each sees one moment, and none holds back the clean-up of a ledger at work."""
    after = None
    async with connected(database_url) as conn:
        while True:
            page = await page_histories(conn, order_ledger_id=order_ledger_id, after=after, limit=PAGE_ORDERS)
            for history in page:
                yield history
            if len(page) < PAGE_ORDERS:
                return
            after = page[-1].order_ledger_id


def _known(sagas: dict[UUID, Saga[Any]], history: History) -> Saga[Any] | None:
    if history.definition_id not in sagas:
        try:
            sagas[history.definition_id] = saga_of(history.definition)
        except Exception:
            # It says why itself, of each order.
            return None
    return sagas[history.definition_id]


def _print(console: Console, replayed: Replayed) -> None:
    for order, difference in replayed.differences:
        place = f"entry {difference.seq}" if difference.seq else difference.what
        console.print(plain(f"DIFFERENCE {order}, {place}"), style="bold red")
        console.print(plain(f"  the ledger says   {_shown(difference.recorded)}"))
        console.print(plain(f"  the core decides  {_shown(difference.decided)}"))
    console.print(f"orders replayed: {replayed.orders:,}; journal entries: {replayed.entries:,}")
    if replayed.clean:
        console.print("Every decision is the core's.", style="bold green")
    else:
        more = f" (the first {ROWS_MAX} are shown)" if replayed.differing > ROWS_MAX else ""
        console.print(f"orders that differ: {replayed.differing:,}{more}", style="bold red", markup=False)


def _shown(value: object) -> object:
    return "nothing" if value is None else value
