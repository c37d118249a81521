"""A shop's own backend: stocks products, places orders through the edge, and knows how to repeat a request."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from sql.models import TERMINAL, Status

WAIT_S: Final = 20
"""Asked for by `Prefer: wait`; below the limit of 30 that the edge grants."""
REPEATED: Final = frozenset({409, 429, 503})
"""Answers that say: the same request again, later."""
PAUSE_MAX_S: Final = 5.0
POLL_S: Final = 0.1
CALL_TIMEOUT_S: Final = 40.0


class ShopError(Exception):
    """The edge or a participant did not answer as it should."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of an order.

    Attributes:
        order_ledger_id: Its id; None when the edge recorded none.
        status: Last known; `REFUSED` when the edge recorded none.
        answer: Body of the edge's last answer.
        repeats: Times that the request was sent again.
    """

    order_ledger_id: str | None
    status: str
    answer: Mapping[str, Any]
    repeats: int

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status == "REFUSED" or self.status in TERMINAL


class Shop:
    """Calls the edge and the participants of one stack.

    Args:
        session: HTTP session.
        edge_url: The clients' listener.
        participants: Address of each participant.
        patience_s: Seconds for which a request is repeated, and then its end waited for, before it is given up.
    """

    def __init__(
        self, session: aiohttp.ClientSession, edge_url: str, participants: Mapping[str, str], *, patience_s: float = 120.0
    ) -> None:
        self._session = session
        self._edge_url = edge_url
        self._participants = participants
        self._patience_s = patience_s

    async def add_product(self, sku: str, name: str, initial_stock: int) -> None:
        """Create a product with stock.

        Raises:
            ShopError: The inventory did not take it.
        """
        body = {"sku": sku, "name": name, "initial_stock": initial_stock}
        await self._tell("inventory", "/inventory/products", body, key=f"product/{sku}")

    async def add_customer(self, customer_id: str) -> None:
        """Add a customer who may order.

        Raises:
            ShopError: The orders service did not take it.
        """
        await self._tell("orders", "/customers", {"customer_id": customer_id}, key=f"customer/{customer_id}")

    async def available(self, sku: str) -> int:
        """Return how many pieces of a product can be ordered."""
        url = f"{self._participants['inventory']}/inventory/products/{quote(sku, safe='')}/availability"
        _, _, answer = await self._call("GET", url)
        return int(answer["available"])

    async def misbehave(self, participant: str, route: str, body: Mapping[str, Any]) -> None:
        """Script a fault at a participant: `fail-next` or `delay`."""
        await self._tell(participant, f"/test/{route}", body)

    async def place(self, key: str, body: Mapping[str, Any]) -> Placed:
        """Place an order and wait until it is finished, repeating with the same key whatever is to be repeated.

        Raises:
            ShopError: It was not taken, or not finished, within the shop's patience.
        """
        answer = await self.submit(key, body, wait_s=WAIT_S)
        return answer if answer.finished else await self.wait(answer)

    async def submit(self, key: str, body: Mapping[str, Any], *, wait_s: int = 0) -> Placed:
        """Place an order; with `wait_s` the edge may answer when it is finished.

        Raises:
            ShopError: It was not taken within the shop's patience.
        """
        return await self._submit("/orders", key, body, wait_s)

    async def pay(self, order_ledger_id: str) -> Placed:
        """Pay for an order that was placed without payment, and wait until that is done; return what became of the payment.

        Raises:
            ShopError: It was not taken, or not finished, within the shop's patience.
        """
        path, body = f"/orders/{order_ledger_id}/pay", {"payment_method": "pm_card"}
        payment = await self._submit(path, f"pay-{order_ledger_id}", body, WAIT_S)
        return payment if payment.finished else await self.wait(payment)

    async def _submit(self, path: str, key: str, body: Mapping[str, Any], wait_s: int) -> Placed:
        headers = {"Idempotency-Key": key} | ({"Prefer": f"wait={wait_s}"} if wait_s else {})
        deadline = asyncio.get_running_loop().time() + self._patience_s
        repeats, failure = 0, ""
        while asyncio.get_running_loop().time() < deadline:
            pause_s = 0.2
            try:
                status, answer_headers, answer = await self._call("POST", f"{self._edge_url}{path}", body, headers)
            except ShopError as error:
                failure = str(error)
            else:
                if status not in REPEATED:
                    return _placed(status, answer, repeats)
                failure = f"it was answered {status}"
                pause_s = _retry_after(answer_headers.get("Retry-After"))
            repeats += 1
            await asyncio.sleep(pause_s)
        raise ShopError(f"order {key} was not taken within {self._patience_s:g} s: {failure}")

    async def wait(self, placed: Placed) -> Placed:
        """Wait until an order is finished.

        Raises:
            ShopError: It was not within the shop's patience.
        """
        order = await self._reached(str(placed.order_ledger_id), TERMINAL)
        return Placed(placed.order_ledger_id, order["status"], order, placed.repeats)

    async def journal(self, order_ledger_id: str) -> list[dict[str, Any]]:
        """Return an order's journal."""
        status, _, answer = await self._call("GET", f"{self._edge_url}/orders/{order_ledger_id}/journal")
        if status != 200:
            raise ShopError(f"the journal of {order_ledger_id} was answered {status}")
        entries: list[dict[str, Any]] = answer["entries"]
        return entries

    async def cancel(self, order_ledger_id: str, reason: str) -> int:
        """Ask for an order to be cancelled; return the answer's status code."""
        url = f"{self._edge_url}/orders/{order_ledger_id}/cancel"
        status, _, _ = await self._call("POST", url, {"reason": reason}, {"Idempotency-Key": f"cancel-{order_ledger_id}"})
        return status

    async def take_back(self, order_ledger_id: str, reason: str) -> str:
        """Have a completed order cancelled, and wait until it is; return an empty text, or what came instead.

        Raises:
            ShopError: The edge did not answer when it was asked to.
        """
        status = await self.cancel(order_ledger_id, reason)
        if status not in (200, 202):
            return f"it was answered {status}"
        try:
            await self._reached(order_ledger_id, {Status.CANCELLED})
        except ShopError as error:
            return str(error)
        return ""

    async def _reached(self, order_ledger_id: str, statuses: Collection[str]) -> dict[str, Any]:
        """Wait until an order is in one of these statuses, and return it.

        Raises:
            ShopError: It was not within the shop's patience.
        """
        deadline = asyncio.get_running_loop().time() + self._patience_s
        order: dict[str, Any] = {}
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(ShopError):
                status, _, answer = await self._call("GET", f"{self._edge_url}/orders/{order_ledger_id}")
                order = answer if status == 200 else order
            if order.get("status") in statuses:
                return order
            await asyncio.sleep(POLL_S)
        raise ShopError(f"order {order_ledger_id} was still {order.get('status')} after {self._patience_s:g} s")

    async def _tell(self, participant: str, path: str, body: Mapping[str, Any], *, key: str | None = None) -> None:
        headers = {"Idempotency-Key": key} if key else {}
        status, _, answer = await self._call("POST", f"{self._participants[participant]}{path}", body, headers)
        if status not in (200, 201, 204):
            raise ShopError(f"{participant} answered {status} to POST {path}: {answer.get('detail', '')}")

    async def _call(
        self, method: str, url: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        sent = {**(headers or {}), **({"Content-Type": "application/json"} if body is not None else {})}
        data = orjson.dumps(body) if body is not None else None
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        try:
            async with self._session.request(method, url, data=data, headers=sent, timeout=timeout) as answer:
                text = await answer.read()
                return answer.status, answer.headers, orjson.loads(text) if text else {}
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise ShopError(f"{method} {url} failed: {error or type(error).__name__}") from None


def _placed(status: int, answer: dict[str, Any], repeats: int) -> Placed:
    order_ledger_id = answer.get("order_ledger_id")
    if order_ledger_id is None:
        return Placed(None, "REFUSED", answer, repeats)
    # A decline is a problem document: `status` in it is the HTTP code.
    state = "DECLINED" if status == 402 else str(answer["status"])
    return Placed(str(order_ledger_id), state, answer, repeats)


def _retry_after(text: str | None) -> float:
    try:
        return min(float(text or 1), PAUSE_MAX_S)
    except ValueError:
        return 1.0
