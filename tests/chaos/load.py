"""Orders placed while the nemesis is at work: against its endless schedule, or beside a script of a few deeds."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from orchestrator.identity import order_id
from tests.chaos import direct
from tests.chaos.clients import Clients
from tests.chaos.faults import Doom
from tests.chaos.generator import CLIENTS, ORDINARY, Plan
from tests.chaos.schedule import Deed, schedule, script
from tests.chaos.stage import Stage
from tests.chaos.stuck import Operator

CLIENTS_AT_ONCE: Final = 60
BACKLOG_MAX: Final = 250
"""Unfinished orders above which clients wait, so that the harm meets orders at work and not only a queue."""
LAST_S: Final = 60.0
"""The harm goes on for so long at most while the last clients still wait for their answers."""
HAPPENS_S: Final = 40.0
TOLD_EVERY: Final = 500


async def place_unannounced(stage: Stage, clients: Clients) -> Plan:
    """Place an order that no notification tells of, while nothing else goes on: the poll has to find it."""
    body = {"customer_id": "quiet", "currency": "GBP", "items": [{"sku": ORDINARY[0], "quantity": 1, "unit_price_minor": 5}]}
    plan = Plan(-1, CLIENTS[0], "unannounced", body)
    stage.bank.on = False
    await clients.play(plan)
    await clients.finish()
    await _backlog_below(stage, 1)
    await stage.fleet.look(stage.session)
    stage.bank.on = True
    return plan


async def place_beside_schedule(
    stage: Stage, seed: int, clients: Clients, plans: Sequence[Plan], most_s: float, say: Callable[[str], None]
) -> None:
    """Place the orders, as many at once as there are clients, while harm is done by the schedule of the seed.

    Args:
        stage: What it is played on.
        seed: Of the schedule.
        clients: Who places them.
        plans: The orders.
        most_s: Seconds after which no further ones are placed.
        say: Given a line now and then.
    """
    deadline = time.monotonic() + most_s
    harm = asyncio.create_task(stage.nemesis.run(schedule(seed)))
    limit = asyncio.Semaphore(CLIENTS_AT_ONCE)

    async def place(plan: Plan) -> None:
        try:
            await clients.play(plan)
        finally:
            limit.release()

    try:
        placing = []
        for number, plan in enumerate(plans):
            if number % TOLD_EVERY == 0:
                say(f"{number} orders were placed")
            if number % 10 == 0:
                await _backlog_below(stage, BACKLOG_MAX)
            if time.monotonic() > deadline:
                say(f"the time is over: {len(plans) - number} orders are not placed any more")
                break
            await limit.acquire()
            placing.append(asyncio.create_task(place(plan)))
            assert not harm.done(), "the nemesis has given up"
        await asyncio.wait(placing, timeout=LAST_S)
    finally:
        harm.cancel()
        with suppress(asyncio.CancelledError):
            await harm
    stage.bank.end()
    await stage.nemesis.calm()
    await asyncio.gather(*placing)


async def place_beside_script(
    stage: Stage, seed: int, clients: Clients, plans: Sequence[Plan], rounds: Sequence[Sequence[Deed]], operator: Operator
) -> None:
    """Place some of the orders beside each round of deeds, those first that something is in store for."""
    dooms = {plan.number: stage.bank.faults.fate(str(order_id(plan.client, plan.key))).doom for plan in plans}
    assert {Doom.LATE, Doom.STUCK} <= set(dooms.values()), "the seed has nothing in store for anybody"
    plans = sorted(plans, key=lambda plan: dooms[plan.number] is Doom.NONE)
    size, placing = -(-len(plans) // len(rounds)), []
    for number, acts in enumerate(script(seed, rounds)):
        placing += [asyncio.create_task(clients.play(plan)) for plan in plans[number * size : (number + 1) * size]]
        await asyncio.gather(*(stage.nemesis.carry_out(act) for act in acts))
    await asyncio.gather(*placing)
    with suppress(TimeoutError):
        async with asyncio.timeout(HAPPENS_S):
            while not (stage.bank.counts["late action refused"] and operator.counts["stuck orders retried"]):
                await asyncio.sleep(0.05)
    stage.bank.end()
    await stage.nemesis.calm()


async def _backlog_below(stage: Stage, most: int) -> None:
    while (await stage.ledger.surely(direct.UNFINISHED))[0]["orders"] >= most:
        await asyncio.sleep(0.05)
