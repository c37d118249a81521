"""`saga audit verify` and `saga audit checkpoint`: the journals' hash chains, page by page, and where they end, to be kept."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Final
from uuid import UUID

from rich.console import Console

from orchestrator.operations import checkpoint
from orchestrator.operations.asking import Connection, connected
from orchestrator.operations.audit_report import ROWS_MAX
from orchestrator.operations.checkpoint import Summary
from orchestrator.operations.render import open_console, plain, print_json
from sql import auditing, chain
from sql.auditing import AuditQuery
from sql.chain import NOBODY, Head
from sql.ledger import LedgerError, OrderNotFound
from sql.models import Json

PAGE_ORDERS: Final = 500
FINDINGS_MAX: Final = 3 * PAGE_ORDERS
"""Of one query and page that are read: one for each order, and what stands there of orders that were removed."""
_LAST: Final = UUID(int=2**128 - 1)
_QUERIES: Final = ("ledger_chain_intact", "ledger_journal_gap_free", "ledger_rows_have_their_order")
"""What `saga audit` asks of the whole ledger, asked here page by page: a definition for both."""


class NothingToVerify(LedgerError):
    """There is no order, so nothing can be said to be well."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An order whose history is not what was written.

    Attributes:
        order_ledger_id: The order.
        seq: From which entry on, as far as that can be told; None where it is the row or the order as a whole.
        what: What is wrong, in a sentence.
    """

    order_ledger_id: UUID
    seq: int | None
    what: str


@dataclass(slots=True)
class Compared:
    """What came of the comparison with a checkpoint.

    Attributes:
        at: When it was made.
        orders: How many it knows of, or how many of these were asked for.
        grown: Orders whose journals went on since.
        purged: Orders that retention has removed, before or since.
        signature_checked: Whether its signature was looked at.
    """

    at: str
    signature_checked: bool
    orders: int = 0
    grown: int = 0
    purged: int = 0


@dataclass(slots=True)
class Verified:
    """What came of it.

    Attributes:
        orders, entries: How many were verified.
        purged: Orders that retention has removed, of which there is nothing left to verify.
        found: How much is wrong.
        findings: The first of it.
        compared: With a checkpoint; None where there was none.
    """

    orders: int = 0
    entries: int = 0
    purged: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)
    compared: Compared | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return self.found == 0

    def add(self, finding: Finding) -> None:
        """Count what is wrong."""
        self.found += 1
        if self.found <= ROWS_MAX:
            self.findings.append(finding)


def show_verify(
    database_url: str, order_ledger_id: UUID | None, *, against: Path | None, key_file: Path | None, as_json: bool
) -> int:
    """Verify one order's journal, or all, and compare them with a checkpoint; return 0 when nothing is wrong, else 1.

    Raises:
        OrderNotFound: There is no such order, and the checkpoint does not know it either.
        NothingToVerify: There is no order at all.
        CheckpointError: The file or the key can't be used.
    """
    key = None if key_file is None else checkpoint.read_key(key_file)
    summary = None if against is None else checkpoint.read_summary(against, key)
    console = open_console()
    with _told(console, "verifying", as_json=as_json) as tell:
        verified = asyncio.run(_verify(database_url, order_ledger_id, against, summary, key is not None, tell))
    if as_json:
        print_json({"clean": verified.clean, **asdict(verified)})
    else:
        _print(console, verified)
    return 0 if verified.clean else 1


def show_checkpoint(database_url: str, *, out: Path | None, key_file: Path | None, as_json: bool) -> None:
    """Write a checkpoint to a file, which is there whole or not at all, or to stdout.

    Raises:
        CheckpointError: The key can't be used.
        OSError: The file can't be written.
    """
    key = None if key_file is None else checkpoint.read_key(key_file)
    console = open_console()
    if out is None:
        asyncio.run(_export(database_url, sys.stdout.buffer, key, lambda _: None))
        return
    made = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with made.open("wb") as file, _told(console, "reading", as_json=as_json) as tell:
            summary = asyncio.run(_export(database_url, file, key, tell))
            file.flush()
            os.fsync(file.fileno())
        made.replace(out)
    finally:
        made.unlink(missing_ok=True)
    if as_json:
        print_json(asdict(summary))
    else:
        console.print(plain(f"{out}: {summary.orders:,} orders, {summary.entries:,} journal entries, {summary.at}"))
        console.print(f"root {summary.root}")


async def _verify(
    database_url: str,
    order_ledger_id: UUID | None,
    against: Path | None,
    summary: Summary | None,
    signature_checked: bool,
    tell: Callable[[str], None],
) -> Verified:
    verified = Verified()
    queries = [query for query in auditing.load_audit() if query.name in _QUERIES]
    async with connected(database_url) as conn:
        # What is found is of one moment for each page, and no page holds back the clean-up of a ledger at work.
        await auditing.read_only(conn)
        async for heads, span in _pages(conn, order_ledger_id):
            verified.purged += sum(head.purged for head in heads)
            verified.orders += sum(not head.purged for head in heads)
            verified.entries += sum(head.last_seq for head in heads if not head.purged)
            for finding in await _violations(conn, queries, span):
                verified.add(finding)
            tell(f"{verified.orders:,} orders, {verified.found:,} findings")
        if against is not None and summary is not None:
            verified.compared = Compared(summary.at, signature_checked)
            await _compare(conn, against, order_ledger_id, verified, verified.compared, tell)
    known = verified.orders or verified.purged or verified.found
    if order_ledger_id is not None and not known:
        raise OrderNotFound(f"the ledger has no order {order_ledger_id}")
    if not known:
        raise NothingToVerify("there was nothing to verify: the ledger has no order yet")
    return verified


async def _pages(conn: Connection, order_ledger_id: UUID | None) -> AsyncIterator[tuple[list[Head], tuple[UUID, UUID]]]:
    """Read page by page where journals end, and between which ids each page lies; the last page has what lies behind all."""
    if order_ledger_id is not None:
        before = UUID(int=max(order_ledger_id.int - 1, 0))
        heads = await chain.page_heads(conn, after=before, limit=1)
        yield [head for head in heads if head.order_ledger_id == order_ledger_id], (before, order_ledger_id)
        return
    after = NOBODY
    while True:
        heads = await chain.page_heads(conn, after=after, limit=PAGE_ORDERS)
        upto = heads[-1].order_ledger_id if len(heads) == PAGE_ORDERS else _LAST
        yield heads, (after, upto)
        if upto == _LAST:
            return
        after = upto


async def _violations(conn: Connection, queries: Sequence[AuditQuery], span: tuple[UUID, UUID]) -> list[Finding]:
    found = []
    for query in queries:
        found += [_finding(query.name, row) for row in await auditing.run(conn, query, FINDINGS_MAX, span=span)]
    return sorted(found, key=lambda finding: finding.order_ledger_id.int)


def _finding(query: str, row: Json) -> Finding:
    order = row["order_ledger_id"]
    if query == "ledger_rows_have_their_order":
        return Finding(order, None, f"the order was removed, and {row['rows']} rows of it still stand in {row['stands_in']}")
    if query == "ledger_journal_gap_free":
        return Finding(order, None, f"its row counts {row['last_seq']} journal entries, and there are {row['entries']}")
    if row["seq"] is None:
        return Finding(order, None, "its journal does not end with the hash that its row has")
    if row["seq"] == row["sealed_seq"]:
        return Finding(order, row["seq"], "the entry is not what was written, or the one before it is not")
    return Finding(order, row["seq"], f"of the entries up to {row['sealed_seq']} one is not what was written, or is missing")


async def _compare(
    conn: Connection,
    against: Path,
    order_ledger_id: UUID | None,
    verified: Verified,
    compared: Compared,
    tell: Callable[[str], None],
) -> None:
    heads = (h for h in checkpoint.read_heads(against) if order_ledger_id in (None, h.order_ledger_id))
    while page := list(islice(heads, PAGE_ORDERS)):
        standing = await chain.list_standing(conn, page)
        for head in page:
            now = standing.get(head.order_ledger_id)
            compared.orders += 1
            compared.purged += now is not None and now.purged
            compared.grown += now is not None and now.last_seq > head.last_seq
            if what := checkpoint.compare(head, now):
                seq = head.last_seq if now is not None else None
                verified.add(Finding(head.order_ledger_id, seq, f"since the checkpoint {what}"))
        tell(f"{compared.orders:,} orders of the checkpoint, {verified.found:,} findings")


async def _export(database_url: str, file: IO[bytes], key: bytes | None, tell: Callable[[str], None]) -> Summary:
    async with connected(database_url) as conn:
        writer = checkpoint.Writer(file, await chain.get_moment(conn))
        count = 0
        async for heads, _ in _pages(conn, None):
            writer.add(heads)
            count += len(heads)
            tell(f"{count:,} orders")
    return writer.end(key)


@contextlib.contextmanager
def _told(console: Console, verb: str, *, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Show on a terminal how far it has come."""
    if not console.is_terminal or as_json:
        yield lambda _: None
        return
    with console.status(f"{verb} …") as spinner:
        yield lambda text: spinner.update(f"{verb} … {text}")


def _print(console: Console, verified: Verified) -> None:
    for finding in verified.findings:
        place = f"entry {finding.seq}" if finding.seq is not None else "the order"
        console.print(plain(f"ALTERED {finding.order_ledger_id}, {place}: {finding.what}"), style="bold red")
    purged = f"; purged by retention: {verified.purged:,}" if verified.purged else ""
    console.print(f"orders verified: {verified.orders:,}; journal entries: {verified.entries:,}{purged}")
    if compared := verified.compared:
        signature = "its signature holds" if compared.signature_checked else "its signature was not looked at"
        console.print(
            plain(
                f"compared with the checkpoint of {compared.at}, {signature}: {compared.orders:,} orders,"
                f" of which {compared.grown:,} have grown and {compared.purged:,} were purged"
            )
        )
    if verified.clean:
        console.print("Every journal is what was written.", style="bold green")
    else:
        more = f" (the first {ROWS_MAX} are shown)" if verified.found > ROWS_MAX else ""
        console.print(f"findings: {verified.found:,}{more}", style="bold red", markup=False)
