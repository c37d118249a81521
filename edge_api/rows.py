"""Whose rows a request sees: the one place where handlers get their connection to the ledger."""

from contextlib import AbstractAsyncContextManager

from aiohttp import web

from edge_api import keys
from sql.connect import ALL_CLIENTS, Session

NOBODY = ""
"""Who came in without a key, by a route that needs none, sees no client's rows."""


def visible_rows(request: web.Request) -> AbstractAsyncContextManager[Session]:
    """Lend a connection for which other clients' rows do not exist, whatever a statement says; on the admin listener all do.

    Where the database's user is bound by no policies (its owner, or a superuser) only the statements hide what they hide.

    Raises:
        PoolTimeout: None was free or could be opened in time.
    """
    client_id = ALL_CLIENTS if request.app[keys.SEES_ALL_CLIENTS] else request.get(keys.CLIENT_ID, NOBODY)
    return request.app[keys.POOL].acting_for(client_id)
