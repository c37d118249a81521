"""`POST /personal/erase`: nothing personal is kept of a customer and of orders that have ended.

What was done stays on record: fences, effects, orders. What goes is what describes a person, also where it only shows: in a
stored answer, or in the hash of a request, which tells to whoever guesses it that a guess was right.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, LiteralString

from psycopg.rows import scalar_row

from participants.calls import Change, Done
from participants.contracts.erasure import ErasePersonal, PersonalErased
from participants.database import Connection
from participants.settings import Name
from sql.loader import Queries

_ERASE: Final[Mapping[Name, LiteralString]] = MappingProxyType(
    {name: Queries(name)["erase_personal"] for name in ("orders", "shipping", "payments", "notifications")}
)
"""By participant; inventory is told nothing of anybody."""


def erasure(name: Name) -> Change:
    """Return the operation of a participant."""

    async def erase(connection: Connection, asked: ErasePersonal, _key: str) -> Done:
        erased = 0
        if name in _ERASE:
            async with connection.cursor(row_factory=scalar_row) as cursor:
                fields = {"customer_id": asked.customer_id, "order_ids": list(asked.order_ids)}
                await cursor.execute(_ERASE[name], fields)
                erased = await cursor.fetchone() or 0
        return Done(PersonalErased(customer_id=asked.customer_id, erased=erased))

    return Change("/personal/erase", ErasePersonal, erase)
