"""`GET /admin/orders/ID`: all that an operator wants to see of one order, in one answer."""

from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from edge_api import keys
from edge_api.problems import order_not_found
from edge_api.reading import json_response
from edge_api.requests import order_id_of
from edge_api.rows import visible_rows
from orchestrator.definitions import Definitions
from orchestrator.offered import offered
from orchestrator.saga import DefinitionError
from orchestrator.timeline import timeline
from sql import ledger, looking, oncall, reading
from sql.models import SagaRow


async def get_order(request: web.Request) -> web.Response:
    """Answer `GET /admin/orders/ID`.

    The order as clients get it with its `client_id` and `definition_id`; when people were last told of it (`notified_at`);
    its `journal`; its course in time as `timeline`; the `verbs` that its state allows; `statements` to be asked by hand. Where
    this process has no code of its definition, or can't read it, there are no verbs.
    """
    order_ledger_id = order_id_of(request)
    async with visible_rows(request) as conn:
        snapshot = await reading.get_snapshot(conn, order_ledger_id)
        order = await reading.get_order(conn, order_ledger_id, None)
        journal = await reading.get_journal(conn, order_ledger_id)
        rows = await ledger.get_rows(conn, [order_ledger_id])
        # Retention may have taken it between two of these.
        if snapshot is None or order is None or journal is None or order_ledger_id not in rows:
            raise order_not_found()
        notified_at = await oncall.find_notified(conn, order_ledger_id)
        verbs = await _verbs(conn, request.app[keys.DEFINITIONS], rows[order_ledger_id])
    course = timeline(order, journal, snapshot["body"], snapshot["age_s"])
    shown = {"notified_at": notified_at, "definition_id": snapshot["definition_id"], "age_s": snapshot["age_s"], "verbs": verbs}
    found = {"journal": journal, "timeline": course.document(), "statements": looking.statements_of(order_ledger_id)}
    return json_response({**order, **shown, **found})


async def _verbs(conn: ledger.Connection, definitions: Definitions, row: SagaRow) -> list[dict[str, Any]]:
    try:
        saga = await definitions.of(conn, row.definition_id)
        return [asdict(offer) for offer in offered(saga, row)]
    except (DefinitionError, KeyError, TypeError, ValueError, AttributeError):
        return []


ROUTES: Final = [web.get("/admin/orders/{order_ledger_id}", get_order, allow_head=False)]
