"""Clients of the edges: impatient, forgetful, doubled, and they write everything down."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp

from tests.acceptance.stack import CLIENTS
from tests.chaos.generator import Json, Plan, spelled
from tests.chaos.recorder import Kind, Recorded, Recorder, digest

PATIENCE_S: Final = 10.0
"""Longer than any limit of the edge's own."""
PAUSE_S: Final = 0.3
FINAL: Final = frozenset({200, 202, 402, 422})
_TROUBLE: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class Clients:
    """Plays what clients do.

    Args:
        session: HTTP session.
        edges: Returns the addresses of the edges, at any moment.
        recorder: Keeps the calls.
        seed: Of the run.
        haste: Factor of the waits that plans have.
    """

    def __init__(
        self, session: aiohttp.ClientSession, edges: Callable[[], list[str]], recorder: Recorder, seed: int, haste: float
    ) -> None:
        self._haste = haste
        self._session = session
        self._edges = edges
        self._recorder = recorder
        self._seed = seed
        self._later: set[asyncio.Task[None]] = set()

    async def play(self, plan: Plan) -> str | None:
        """Place an order as its plan says, until it is acknowledged; its id, None when the client gave up.

        What the plan has for later goes on by itself; see `finish`.
        """
        dice = random.Random(f"{self._seed}/client/{plan.number}")
        if plan.refused_first is not None:
            await self._post(plan, plan.refused_first, "no order", "", dice)
        if plan.hangs_up_after_s is not None:
            await self._post(plan, spelled(plan.body, dice), "order", digest(plan.body), dice, plan.hangs_up_after_s)
        order = (await asyncio.gather(*(self._until_told(plan, plan.body, "order", dice) for _ in range(plan.twins))))[0]
        if order is not None:
            self._soon(self._afterwards(plan, order, dice))
        return order

    async def finish(self) -> None:
        """Wait until everything that was planned for later is done."""
        while self._later:
            await asyncio.gather(*self._later)

    def _soon(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _afterwards(self, plan: Plan, order: str, dice: random.Random) -> None:
        await self._read(plan, order, dice)
        if plan.cancel_after_s is not None:
            await asyncio.sleep(plan.cancel_after_s)
            await self._cancel(plan, order, dice)
        if plan.other_body is not None:
            await self._until_told(plan, plan.other_body, "other body", dice)
        for wait_s in plan.repeats_after_s:
            await asyncio.sleep(wait_s * self._haste)
            await self._until_told(plan, plan.body, "order", dice)

    async def _until_told(self, plan: Plan, body: Json, kind: Kind, dice: random.Random) -> str | None:
        """Send an order again and again until there is an answer that is final."""
        while True:
            told = await self._post(plan, spelled(body, dice), kind, digest(body), dice)
            if told.status in FINAL:
                return told.order
            if plan.gives_up and told.status is None:
                return None
            await asyncio.sleep(dice.uniform(0.0, PAUSE_S))

    async def _post(
        self, plan: Plan, body: bytes, kind: Kind, body_hash: str, dice: random.Random, patience_s: float = PATIENCE_S
    ) -> Recorded:
        headers = {"Idempotency-Key": plan.key if dice.random() < 0.8 else f'"{plan.key}"', "Content-Type": "application/json"}
        if plan.waits:
            headers["Prefer"] = "wait=2"
        return await self._call(plan, "POST", "/orders", kind, body_hash, dice, body, headers, patience_s)

    async def _cancel(self, plan: Plan, order: str, dice: random.Random) -> None:
        body = json.dumps({"reason": "changed my mind"}).encode()
        while True:
            headers = {"Content-Type": "application/json"}
            told = await self._call(plan, "POST", f"/orders/{order}/cancel", "cancel", "", dice, body, headers)
            if told.status in (200, 202, 404, 409):
                return
            await asyncio.sleep(dice.uniform(0.0, PAUSE_S))

    async def _read(self, plan: Plan, order: str, dice: random.Random) -> None:
        await self._call(plan, "GET", f"/orders/{order}", "read", "", dice)

    async def _call(
        self,
        plan: Plan,
        method: str,
        path: str,
        kind: Kind,
        body_hash: str,
        dice: random.Random,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Recorded:
        sent = {"Authorization": f"Bearer {CLIENTS[plan.client]}", **(headers or {})}
        url = dice.choice(self._edges()) + path
        began_s, told = time.time(), None
        with suppress(*_TROUBLE):
            async with asyncio.timeout(patience_s), self._session.request(method, url, data=body, headers=sent) as answer:
                told = (answer.status, await answer.read(), dict(answer.headers))
        recorded = _recorded(plan, kind, body_hash, began_s, told)
        self._recorder.record(recorded)
        return recorded


def _recorded(
    plan: Plan, kind: Kind, body_hash: str, began_s: float, told: tuple[int, bytes, dict[str, str]] | None
) -> Recorded:
    if told is None:
        return Recorded(plan.client, plan.key, kind, body_hash, began_s, time.time(), None)
    status, body, headers = told
    order = None
    with suppress(ValueError, AttributeError):
        order = json.loads(body).get("order_ledger_id")
    return Recorded(
        plan.client,
        plan.key,
        kind,
        body_hash,
        began_s,
        time.time(),
        status,
        digest([status, body.decode(errors="replace"), headers.get("Location")]),
        order,
        headers.get("Idempotency-Replayed") == "true",
    )
