"""A demo: a stack of its own in a temporary folder, orders placed on it, a summary, an audit; then nothing is left."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
from rich.console import Console

from orchestrator.operations.acts import Acts, End, summarise
from orchestrator.operations.audit import render_audit, run_audit
from orchestrator.operations.board import shown_board
from orchestrator.operations.ledger_view import client_of
from orchestrator.operations.plan import Databases, Listeners, StackPlan, clean_environment
from orchestrator.operations.render import open_console, print_table
from orchestrator.operations.replay import Replay
from orchestrator.operations.replaying import cancel_orders, read_file, replay_orders, take_account
from orchestrator.operations.returns import explain
from orchestrator.operations.scenarios import CATALOGUE, CUSTOMER, RARE_SKU, STOCK, Scenario, plan_orders
from orchestrator.operations.shop import Shop
from orchestrator.operations.stack import Stack, run_until_signal, running_stack
from orchestrator.saga import Saga

REPLICAS: Final = 2
PATIENCE_S: Final = 120.0
# Failures take seconds here, not the minutes of the defaults (waits of 1, 4, 16, 64 s; a lease of 30 s).
QUICK: Final = {
    "SAGA_FAULTS": 1,
    "SAGA_RETRY_FIRST_S": 0.2,
    "SAGA_RETRY_FACTOR": 2,
    "SAGA_RETRY_ATTEMPTS": 4,
    "SAGA_BREAKER_OPEN_S": 1,
    # The faults are of single orders: were a breaker to open for them, the last of them would be its only trial.
    "SAGA_BREAKER_WINDOW": 40,
    "SAGA_STEP_TIMEOUT_S": 2,
    "SAGA_LEASE_S": 4,
    "SAGA_POLL_INTERVAL_S": 1,
}


def start_demo(count: int, replay: Path | None, databases_of: Databases, sagas: Sequence[Saga[Any]]) -> int:
    """Run a demo, or replay a file, until its end or a signal; return the exit code.

    Raises:
        ReplayError: The file can't be replayed; nothing was started.
    """
    console = open_console()
    if replay is None:
        coroutine = run_demo(count, console, databases_of, sagas)
    else:
        coroutine = run_replay(read_file(replay), console, databases_of, sagas)
    return 0 if asyncio.run(run_until_signal(coroutine)) else 1


async def run_demo(count: int, console: Console, databases_of: Databases, sagas: Sequence[Saga[Any]]) -> bool:
    """Run a demo.

    Args:
        count: Orders to place, at least 1.
        console: Where it is told.
        databases_of: Where the participants' databases are.
        sagas: Definitions that the audit compares with.

    Returns:
        Whether every order ended as it should and the audit is clean.
    """
    started_at = time.monotonic()
    async with _stack(console, databases_of, QUICK) as (stack, shop):
        await _stock(shop)
        first, *others = plan_orders(count)
        with shown_board(console, count) as board:
            placed = await shop.place(first.key, first.body)
            board.say(f"the first order is {placed.status}, {time.monotonic() - started_at:.1f} s after the start")
            ends = [End(first, placed.status, "" if placed.status == "COMPLETED" else "the first order did not complete")]
            board.ended(placed.status)
            client_id = await client_of(stack.database_url, UUID(placed.order_ledger_id))
            acts = Acts(shop, stack, client_id, board.say)
            kills = any(order.scenario is Scenario.IN_FLIGHT for order in others)
            async with _tasks() as start:
                killing = start(acts.kill_a_replica()) if kills else None
                for finished in asyncio.as_completed([start(acts.play(order)) for order in others]):
                    ends.append(await finished)
                    board.ended(ends[-1].status)
                wrong = [end.wrong for end in ends if end.wrong] + await _check_kill(acts, killing)
        _summarise(console, ends, wrong, time.monotonic() - started_at)
        clean = await _audit(console, stack, sagas)
    return clean and not wrong


async def run_replay(replay: Replay, console: Console, databases_of: Databases, sagas: Sequence[Saga[Any]]) -> bool:
    """Replay a file of invoices on a stack of its own, with the settings as they are by default.

    Returns:
        Whether every line is accounted for, every order completed or was cancelled as in the file, and the audit is clean.
    """
    async with _stack(console, databases_of, {}) as (stack, shop):
        started_at = time.monotonic()
        ends = []
        with shown_board(console, len(replay.invoices)) as board:
            async for invoice, placed in replay_orders(replay, shop, board.say):
                ends.append((invoice, placed))
                board.ended(placed.status)
            taken_back = await cancel_orders(replay, ends, shop, board.say)
        account = take_account(replay, ends, taken_back)
        took_s = time.monotonic() - started_at
        not_run = [row for cancellation in replay.cancellations for row in explain(cancellation)]
        if not_run:
            console.print("\nCancellations in the file that cancel no order, and why not:\n", markup=False)
            print_table(console, ("INVOICE", "LINES#", "WHY NOT", "FOUND"), not_run)
        console.print(f"\nThe file's {account.lines:,} lines, all of them:\n", markup=False)
        rows = [(str(fate), reason, f"{n:,}") for (fate, reason), n in sorted(account.by_fate.items())]
        rows.append(("in all", "", f"{sum(account.by_fate.values()):,}"))
        print_table(console, ("WHAT", "WHY", "LINES#"), rows)
        _print_counts(console, account.orders)
        console.print(
            f"{len(replay.invoices):,} invoices placed, {replay.invoices_refused:,} refused as nothing of them could be sold,"
            f" {len(replay.cancellations):,} cancellations, which take back {len(taken_back):,} whole;"
            f" {took_s:.1f} s, {account.repeats} requests repeated\n",
            markup=False,
            soft_wrap=True,
        )
        clean = await _audit(console, stack, sagas)
    return clean and account.complete


@asynccontextmanager
async def _stack(console: Console, databases_of: Databases, settings: dict[str, Any]) -> AsyncIterator[tuple[Stack, Shop]]:
    def say(sentence: str) -> None:
        console.print(sentence, markup=False, soft_wrap=True)

    # Its own folder is also where the parts run, so that no `.env` of the caller reaches them.
    with tempfile.TemporaryDirectory(prefix="sagaledger-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        plan = StackPlan(folder, None, Listeners(), REPLICAS, databases_of, clean_environment(**settings), cwd=folder)
        say("PostgreSQL, five participants, the edge and two orchestrators are started …")
        async with running_stack(plan, report=say) as stack, aiohttp.ClientSession() as session:
            say(f"edge      {stack.edge_url}\nadmin     {stack.admin_url}   (dashboard, while this runs)\n")
            yield stack, Shop(session, stack.edge_url, stack.participant_urls, patience_s=PATIENCE_S)


@asynccontextmanager
async def _tasks() -> AsyncIterator[Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]]:
    """Start tasks that are ended with the context, also when it is interrupted: before what they use is closed."""
    tasks: list[asyncio.Task[Any]] = []

    def start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    try:
        yield start
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stock(shop: Shop) -> None:
    for sku, name, _ in CATALOGUE:
        await shop.add_product(sku, name, STOCK)
    await shop.add_product(RARE_SKU, "The only lamp", 1)
    await shop.add_customer(CUSTOMER)


async def _check_kill(acts: Acts, killing: asyncio.Task[None] | None) -> list[str]:
    if killing is None:
        return []
    try:
        await killing
    except TimeoutError:
        return ["no replica was killed: none was seen to hold an order in mid-call"]
    return [] if await acts.taken_over() else ["no order of the killed replica was taken over"]


def _summarise(console: Console, ends: list[End], wrong: list[str], took_s: float) -> None:
    console.print()
    print_table(console, ("SCENARIO", "ORDERS#", "EXPECTED", "SEEN"), summarise(ends))
    _print_counts(console, Counter(end.status for end in ends))
    for sentence in wrong:
        console.print(f"NOT AS EXPECTED: {sentence}", style="bold red", markup=False, soft_wrap=True)
    console.print(f"{len(ends)} orders in {took_s:.1f} s, start of the stack included\n", markup=False)


def _print_counts(console: Console, counts: dict[str, int]) -> None:
    console.print()
    print_table(console, ("STATUS", "ORDERS#"), [*sorted(counts.items()), ("in all", sum(counts.values()))])
    console.print()


async def _audit(console: Console, stack: Stack, sagas: Sequence[Saga[Any]]) -> bool:
    report = await run_audit(stack.database_url, stack.participant_urls, stack.participant_databases, sagas)
    render_audit(report, console)
    # An audit of nothing finds nothing: a demo that left no order behind has shown nothing.
    return report.clean and report.counts.orders_compared > 0
