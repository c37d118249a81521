"""What happens to the orders of a demo while they run: faults, cancellations, and the loss of a replica."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.operations.part import Part
from orchestrator.operations.scenarios import EXPECTED, TAKEN_BACK, DemoOrder, Scenario
from orchestrator.operations.shop import Placed, Shop, ShopError
from orchestrator.operations.stack import Stack

CONCURRENCY: Final = 8
KILL_POLL_S: Final = 0.02
KILL_TIMEOUT_S: Final = 30.0
UNDO_STEPS: Final = ["capture_payment", "reserve_inventory", "create_order", "authorize_payment"]


@dataclass(frozen=True, slots=True)
class End:
    """How one order ended.

    Attributes:
        order: The order.
        status: Its status.
        wrong: What was not as it should be, in a sentence; empty when all was.
    """

    order: DemoOrder
    status: str
    wrong: str


class Acts:
    """Places the orders of a demo and does to each what its scenario says.

    Args:
        shop: Who places them.
        stack: What they run on.
        client_id: Client for which the edge records them.
        say: Given a sentence for what is worth telling.
    """

    def __init__(self, shop: Shop, stack: Stack, client_id: str, say: Callable[[str], None]) -> None:
        self._shop = shop
        self._stack = stack
        self._client_id = client_id
        self._say = say
        self._limit = asyncio.Semaphore(CONCURRENCY)
        self._in_flight: list[str] = []

    async def play(self, order: DemoOrder) -> End:
        """Place an order, do to it what its scenario says, and look at how it ended."""
        async with self._limit:
            try:
                return await self._play(order)
            except ShopError as error:
                return End(order, "UNKNOWN", str(error))

    async def kill_a_replica(self) -> None:
        """Wait until a replica holds one of the orders meant for it in mid-call, and end it by SIGKILL."""
        async with asyncio.timeout(KILL_TIMEOUT_S):
            while True:
                for order_ledger_id in self._in_flight:
                    holder = await self._holder(order_ledger_id)
                    if holder is not None:
                        holder.signal(signal.SIGKILL)
                        self._say(f"{holder.name} (pid {holder.pid}) is killed while it holds order {order_ledger_id}")
                        return
                await asyncio.sleep(KILL_POLL_S)

    async def taken_over(self) -> int:
        """Count the orders in flight that another replica took over."""
        journals = await asyncio.gather(*(self._shop.journal(order) for order in self._in_flight))
        return sum(any(entry["kind"] == "takeover" for entry in journal) for journal in journals)

    async def _play(self, order: DemoOrder) -> End:
        for fault in order.faults(self._client_id):
            await self._shop.misbehave(fault.participant, fault.route, fault.body)
        if order.scenario is Scenario.CANCELLED:
            return await self._cancel(order)
        if order.scenario is Scenario.IN_FLIGHT:
            placed = await self._shop.submit(order.key, order.body)
            self._in_flight.append(str(placed.order_ledger_id))
        else:
            placed = await self._shop.submit(order.key, order.body, wait_s=20)
        if not placed.finished:
            placed = await self._shop.wait(placed)
        if order.scenario in TAKEN_BACK and placed.status == "COMPLETED":
            wrong = await self._shop.take_back(str(placed.order_ledger_id), "the customer changed their mind")
            return End(order, "COMPLETED" if wrong else "CANCELLED", wrong)
        if order.scenario is Scenario.PAID_LATER and placed.status == "COMPLETED":
            payment = await self._shop.pay(str(placed.order_ledger_id))
            paid = payment.status == "COMPLETED"
            return End(
                order, placed.status, "" if paid else f"the payment of order {placed.order_ledger_id} is {payment.status}"
            )
        return await self._judge(order, placed)

    async def _cancel(self, order: DemoOrder) -> End:
        placed = await self._shop.submit(order.key, order.body)
        await self._shop.cancel(str(placed.order_ledger_id), "the customer changed their mind")
        placed = await self._shop.wait(placed)
        return await self._judge(order, placed)

    async def _judge(self, order: DemoOrder, placed: Placed) -> End:
        expected = EXPECTED[order.scenario]
        if placed.status != expected:
            return End(order, placed.status, f"order {placed.order_ledger_id} ended {placed.status}, not {expected}")
        if order.scenario is Scenario.PERMANENT:
            undone = await self._undone(str(placed.order_ledger_id))
            if undone != UNDO_STEPS:
                return End(order, placed.status, f"order {placed.order_ledger_id} was undone as {', '.join(undone)}")
        return End(order, placed.status, "")

    async def _undone(self, order_ledger_id: str) -> list[str]:
        journal = await self._shop.journal(order_ledger_id)
        return [
            entry["step"]
            for entry in journal
            if entry["kind"] == "outcome" and entry["direction"] == "compensation" and entry["outcome"] == "succeeded"
        ]

    async def _holder(self, order_ledger_id: str) -> Part | None:
        """Return the replica that has the order's capture on its way; None when none has."""
        last = (await self._shop.journal(order_ledger_id))[-1]
        if last["kind"] != "intent" or last["step"] != "capture_payment":
            return None
        # A replica's name is its host, its process id and a random part.
        return next((part for part in self._stack.orchestrators if f"-{part.pid}-" in last["replica"]), None)


def summarise(ends: Sequence[End]) -> list[tuple[str, int, str, str]]:
    """Return a row for each scenario: its name, its orders, what was expected, what was seen."""
    rows = []
    for scenario in Scenario:
        of_it = [end for end in ends if end.order.scenario is scenario]
        if of_it:
            seen = sorted({end.status for end in of_it})
            counts = ", ".join(f"{sum(end.status == status for end in of_it)} {status}" for status in seen)
            rows.append((str(scenario), len(of_it), EXPECTED[scenario], counts))
    return rows
