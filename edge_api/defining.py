"""`/admin/definitions`: what this process can run, what the ledger's orders are on, and a picture of each saga."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from edge_api import keys
from edge_api.problems import Problem, ProblemType
from edge_api.reading import json_response
from edge_api.rows import visible_rows
from orchestrator import config_shown
from orchestrator.definitions import Definitions
from orchestrator.describing import describe
from orchestrator.drawing import graph
from sql.definitions import Registered, list_registered


async def list_definitions(request: web.Request) -> web.Response:
    """Answer `GET /admin/definitions`: every saga that this process knows or the ledger has seen, by name."""
    definitions = request.app[keys.DEFINITIONS]
    async with visible_rows(request) as conn:
        registered = await list_registered(conn)
    names = sorted({*definitions.names, *(each.saga for each in registered)})
    return json_response({"definitions": [_listed(definitions, name, registered) for name in names]})


async def get_definition(request: web.Request) -> web.Response:
    """Answer `GET /admin/definitions/NAME`: the saga as new orders run it, drawn, and all its versions.

    `runs` and `graph` are null of a saga whose code this process has not; then the ledger alone knows of it.
    """
    definitions, name = request.app[keys.DEFINITIONS], request.match_info["saga"]
    async with visible_rows(request) as conn:
        registered = [each for each in await list_registered(conn) if each.saga == name]
        runs = (await config_shown.show(conn, definitions, name)).runs if name in definitions.names else None
    if runs is None and not registered:
        raise Problem(ProblemType.NOT_FOUND, "There is no saga of this name; see GET /admin/definitions.")
    shown = {"runs": runs and describe(runs), "graph": runs and graph(runs)}
    return json_response({**_listed(definitions, name, registered), **shown})


ROUTES: Final = [
    web.get("/admin/definitions", list_definitions, allow_head=False),
    web.get("/admin/definitions/{saga}", get_definition, allow_head=False),
]


def _listed(definitions: Definitions, name: str, registered: Sequence[Registered]) -> dict[str, Any]:
    """Return a saga with its versions, the newest first: of each code its steps, and how many unfinished orders are on it."""
    code = definitions.code(name) if name in definitions.names else None
    here = set(definitions.fingerprints)
    versions = [
        {
            "version": each.version,
            "fingerprint": each.fingerprint,
            "steps": each.steps,
            "unfinished": each.unfinished,
            "runs_here": each.fingerprint in here,
        }
        for each in sorted(registered, key=lambda one: one.version, reverse=True)
        if each.saga == name
    ]
    return {"saga": name, "description": code and code.says, "startable": code and code.startable, "versions": versions}
