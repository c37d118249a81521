"""A client of a stack: places orders, scripts faults, and looks at what became of it all."""

import asyncio
import inspect
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import aiohttp
import psycopg
from prometheus_client.parser import text_string_to_metric_families
from psycopg.rows import dict_row

from orchestrator.identity import order_id
from tests.acceptance.canaries import ADDRESS, PAYMENT_METHOD, watch_answer
from tests.acceptance.stack import CLIENTS, Process, Stack

T = TypeVar("T")
Json = dict[str, Any]
SKU = "85123A"
STOCK = 10_000
QUANTITY = 6
PRICE_MINOR = 255
TOTAL_MINOR = QUANTITY * PRICE_MINOR
TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "DECLINED"})
ACTIONS = ["authorize_payment", "create_order", "reserve_inventory", "capture_payment", "confirm_order"]
STANDS = {
    "orders.created": 1,
    "orders.confirmed": 1,
    "inventory.reserved": QUANTITY,
    "payments.captured": TOTAL_MINOR,
}
"""What a completed order leaves at the participants, as balances by account; an undone one leaves nothing."""


async def eventually(look: Callable[[], T | Awaitable[T]], timeout_s: float = 15.0) -> T:
    """Return what `look` returns as soon as it raises no AssertionError; the last one when the time is over."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            seen = look()
            return await seen if inspect.isawaitable(seen) else seen
        except AssertionError:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the edge."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Json:
        document: Json = json.loads(self.body)
        return document

    @property
    def order(self) -> str:
        return str(self.json["order_ledger_id"])


@dataclass(frozen=True, slots=True)
class Effect:
    """What a participant did."""

    participant: str
    kind: str
    key: str
    amounts: dict[str, int]


class Shop:
    """Calls a stack's edges and participants, and reads its ledger.

    Args:
        stack: The stack.
        session: HTTP session.
        ledger: Connection to the ledger.
    """

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, ledger: psycopg.AsyncConnection[Json]) -> None:
        self.stack = stack
        self._session = session
        self._ledger = ledger

    # --- what it asks for ---------------------------------------------------------------------------------------------

    async def post(self, key: str, *, client: str = "shop", edge: int = 0, **changes: Any) -> Answer:
        """Send `POST /orders`; `changes` go into the body."""
        body = {
            "customer_id": "17850",
            "currency": "GBP",
            "items": [{"sku": SKU, "quantity": QUANTITY, "unit_price_minor": PRICE_MINOR}],
            "payment_method": PAYMENT_METHOD,
            "shipping_address": ADDRESS,
            **changes,
        }
        url = f"{self.stack.edge_urls[edge]}/orders"
        return await self.call("POST", url, body, client=client, **{"Idempotency-Key": key})

    async def place(self, key: str, **changes: Any) -> str:
        """Place an order that is accepted; its id."""
        answer = await self.post(key, **changes)
        assert answer.status == 202, answer
        return answer.order

    async def cancel(self, order: str) -> Answer:
        return await self.call("POST", f"{self.stack.edge_urls[0]}/orders/{order}/cancel", {"reason": "changed my mind"})

    async def get(self, order: str, part: str = "") -> Json:
        answer = await self.call("GET", f"{self.stack.edge_urls[0]}/orders/{order}{part}")
        assert answer.status == 200, answer
        return answer.json

    async def ends(self, order: str, timeout_s: float = 15.0) -> Json:
        """Wait until an order is finished; how `GET /orders/ID` shows it then."""

        async def look() -> Json:
            shown = await self.get(order)
            assert shown["status"] in TERMINAL, shown
            return shown

        return await eventually(look, timeout_s)

    async def fail(self, participant: str, mode: str, path: str, count: int = 1) -> None:
        """Have the next calls of a path fail."""
        await self._tell(participant, "fail-next", {"mode": mode, "path": path, "count": count})

    async def delay(self, participant: str, ms: int, path: str, count: int = 1) -> None:
        """Have the next calls of a path take long."""
        await self._tell(participant, "delay", {"ms": ms, "path": path, "count": count})

    async def call(self, method: str, url: str, body: Json | None = None, *, client: str = "shop", **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {CLIENTS[client]}", **headers}
        async with self._session.request(method, url, json=body, headers=sent) as answer:
            found = await answer.read()
        watch_answer(url, f"{dict(answer.headers)} {found.decode(errors='replace')}")
        return Answer(answer.status, answer.headers, found)

    # --- what it sees -------------------------------------------------------------------------------------------------

    def id_of(self, key: str, client: str = "shop") -> str:
        """Return the id that an order of this key has, or will have."""
        return str(order_id(client, key))

    async def row(self, order: str) -> Json:
        return (await self._rows("select * from order_ledger where order_ledger_id = %s", order))[0]

    async def children(self, order: str) -> list[Json]:
        """Return the rows of what was begun on an order, oldest first."""
        return await self._rows("select * from order_ledger where parent_id = %s order by created_at", order)

    async def journal(self, order: str) -> list[Json]:
        """Return an order's journal, checked for what must hold of every journal at every moment."""
        entries = await self._rows("select * from ledger_journal where order_ledger_id = %s order by seq", order)
        assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
        epochs = [entry["lease_epoch"] for entry in entries]
        assert epochs == sorted(epochs), "an owner wrote after another had taken over"
        # Only attempts tell who the owner was: operators and sagas about an order write under the epoch that it has.
        owners = {(entry["lease_epoch"], entry["replica"]) for entry in entries if entry["kind"] in ("intent", "outcome")}
        assert len(owners) == len({epoch for epoch, _ in owners}), f"two owners of one epoch: {owners}"
        return entries

    async def events(self, order: str) -> list[str]:
        sql = "select type from outbox where aggregateid = %s order by transaction_id, ordinal"
        return [event["type"] for event in await self._rows(sql, order)]

    async def effects(self, order: str) -> list[Effect]:
        """Return what the participants did for an order: each operation once, under the one key that it has for ever."""
        found: list[Effect] = []
        for participant, url in self.stack.participants.items():
            page = (await self.call("GET", f"{url}/effects?order_id={order}")).json
            assert page["next_after"] is None
            found += [Effect(participant, e["kind"], e["operation_key"], e["amounts"]) for e in page["effects"]]
        # What was begun on it, such as its cancellation, acts on it under keys of its own; what expires has no caller.
        ids = "|".join([order, *(str(child["order_ledger_id"]) for child in await self.children(order))])
        assert [e.key for e in found if not re.fullmatch(rf"({ids}):[a-z_]+:(action|compensation)|expiry:.+", e.key)] == []
        doubled = [key for key, count in Counter(effect.key for effect in found).items() if count > 1]
        assert doubled == [], "done twice"
        return found

    async def stands(self, order: str) -> dict[str, int]:
        """Return what stands of an order at the participants: the balances that are not zero."""
        balances: Counter[str] = Counter()
        for effect in await self.effects(order):
            for account, change in effect.amounts.items():
                balances[f"{effect.participant}.{account}"] += change
        return {account: balance for account, balance in balances.items() if balance}

    async def available(self) -> int:
        url = f"{self.stack.participants['inventory']}/inventory/products/{SKU}/availability"
        return int((await self.call("GET", url)).json["available"])

    async def on_its_way(self, order: str, step: str) -> str:
        """Wait until the call of a step is on its way; the lease's owner."""

        async def look() -> str:
            # The first call of all comes with the status RUNNING.
            journal = [entry for entry in await self.journal(order) if entry["kind"] != "status"]
            assert journal, "not recorded yet"
            assert (journal[-1]["kind"], journal[-1]["step"]) == ("intent", step)
            owner = (await self.row(order))["lease_owner"]
            assert owner is not None
            return str(owner)

        return await eventually(look)

    async def holder(self, order: str, step: str) -> Process:
        """Wait until the call of a step is on its way; the replica that made it."""
        return self.stack.replica_of(await self.on_its_way(order, step))

    async def metric(self, process: Process, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        text = (await self.call("GET", f"{process.url}/metrics")).body.decode()
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    async def _tell(self, participant: str, route: str, body: Json) -> None:
        answer = await self.call("POST", f"{self.stack.participants[participant]}/test/{route}", body)
        assert answer.status < 300, answer

    async def _rows(self, sql: Any, order: str) -> list[Json]:
        return await (await self._ledger.execute(sql, (UUID(order),))).fetchall()


def attempts(journal: list[Json]) -> list[str]:
    """Return how each attempt ended, in order: `authorize_payment succeeded`, `undo capture_payment unknown`."""
    ended = [entry for entry in journal if entry["kind"] in ("outcome", "takeover") and entry["step"]]
    undo = {"action": "", "compensation": "undo "}
    return [f"{undo[entry['direction']]}{entry['step']} {entry['outcome']}" for entry in ended]


def succeeded(*steps: str) -> list[str]:
    """Return the attempts of steps that all succeed the first time."""
    return [f"{step} succeeded" for step in steps]


@asynccontextmanager
async def open_shop(stack: Stack) -> AsyncIterator[Shop]:
    """Open a client of a stack, with goods to sell."""
    async with (
        await psycopg.AsyncConnection.connect(stack.databases["ledger"], autocommit=True, row_factory=dict_row) as ledger,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
    ):
        shop = Shop(stack, session, ledger)
        product = {"sku": SKU, "name": "White hanging heart T-light holder", "initial_stock": STOCK}
        url = f"{stack.participants['inventory']}/inventory/products"
        assert (await shop.call("POST", url, product, **{"Idempotency-Key": "product"})).status in (200, 201)
        yield shop
