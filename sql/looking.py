"""Statements for people who look at an order by hand: texts to be copied into psql, which the program never runs."""

from typing import Final
from uuid import UUID

from sql.loader import Queries

_QUERIES: Final = Queries("looking")
_PARAMETER: Final = "%(order_ledger_id)s"
_SAYS: Final = {
    "look_at_row": "Where it stands, who holds it, when it is due",
    "look_at_journal": "All that was intended, answered, taken over and asked for",
    "look_at_events": "What was told of it, and to which webhooks",
    "look_at_definition": "What it runs on to its end",
}


def statements_of(order_ledger_id: UUID) -> list[dict[str, str]]:
    """Return what can be asked of an order: `says` what a statement tells, `sql` is its text with the order's id in it."""
    id_ = f"'{order_ledger_id}'"
    return [{"says": says, "sql": _QUERIES[name].replace(_PARAMETER, id_)} for name, says in _SAYS.items()]
