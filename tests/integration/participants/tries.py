"""Tries, confirms and cancels of the two services that have them, told alike."""

from dataclasses import dataclass
from typing import Any

from sql import auditing
from tests.integration.participants.service import Participant, Reply

AMOUNT = 3
"""Units, or minor units, of every try."""


@dataclass(frozen=True)
class Tries:
    """One service's operations on what has an id.

    Attributes:
        name: Of the service.
        tried, stands: Accounts of its effects that a try and a confirm add to.
        expired: Kind of the effect of an expiry.
    """

    name: str
    path: str
    tried: str
    stands: str
    expired: str

    def body(self, id_: str) -> dict[str, Any]:
        if self.name == "inventory":
            return {"order_id": id_, "lines": [{"sku": "mug", "quantity": AMOUNT - 1}, {"sku": "lamp", "quantity": 1}]}
        return {
            "reservation_id": id_,
            "order_id": id_,
            "amount_minor": AMOUNT,
            "currency": "GBP",
            "payment_method": "pm_card",
        }

    async def do(self, participant: Participant, verb: str, id_: str, *, key: str | None = None) -> Reply:
        """Call `try`, `confirm` or `cancel`, each under a key of its own for the id unless one is given."""
        path = f"{self.path}/try" if verb == "try" else f"{self.path}/{verb}/{id_}"
        return await participant.post(path, self.body(id_) if verb == "try" else None, key=key or f"{id_}:{verb}")

    async def stock(self, participant: Participant) -> None:
        """Give the shop something to hold."""
        if self.name == "inventory":
            for sku in ("mug", "lamp"):
                await participant.post("/inventory/products", {"sku": sku, "name": sku, "initial_stock": 100_000})


STOCK = Tries("inventory", "/inventory/stock", "tried", "reserved", "stock_expired")
MONEY = Tries("payments", "/payments", "authorized", "captured", "expired")


async def violations(participant: Participant, service: str) -> set[str]:
    """Return the names of the audit's invariants that find something at a service."""
    queries = [query for query in auditing.load_audit() if query.database == service and query.kind == "invariant"]
    assert queries
    return {query.name for query in queries if await participant.rows(query.text)}


async def deadlocks(participant: Participant) -> int:
    rows = await participant.rows("select deadlocks from pg_stat_database where datname = current_database()")
    return int(rows[0]["deadlocks"])
