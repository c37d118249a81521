"""How far a run is: a bar on a terminal, a line now and then where the output is piped."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINE_INTERVAL_S: Final = 2.0


class Board:
    """Counts orders as they end, and shows it.

    Args:
        console: Where.
        total: Number of orders.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._statuses: Counter[str] = Counter()
        self._shown_at = time.monotonic()
        self._progress = Progress(
            TextColumn("orders"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=total)

    def ended(self, status: str) -> None:
        """Count an order that has ended."""
        self._statuses[status] += 1
        self._progress.update(self._task, completed=self._statuses.total(), description=self._by_status())
        if not self._console.is_terminal and time.monotonic() - self._shown_at >= LINE_INTERVAL_S:
            self._print()

    def say(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(sentence, markup=False, soft_wrap=True)

    def _by_status(self) -> str:
        return ", ".join(f"{count} {status}" for status, count in sorted(self._statuses.items()))

    def _print(self) -> None:
        self._shown_at = time.monotonic()
        self.say(f"{self._statuses.total()} of {self._total} orders have ended: {self._by_status()}")


@contextmanager
def shown_board(console: Console, total: int) -> Iterator[Board]:
    """Show a board until the context is left."""
    board = Board(console, total)
    if console.is_terminal:
        with board._progress:
            yield board
    else:
        yield board
