"""One HTTP request and its answer, and nothing of what either means: the one place that knows an HTTP client.

::

    Caller ──▶ Transport.exchange ──▶ http1     our own: plain HTTP/1.1 on kept-alive connections, parsed by httptools
                                  │            dialing: which of a name's addresses may be connected to
                                  └─▶ fallback  the same over aiohttp's client

Both keep the same rules, shown by one suite of tests: a cap on head and body, no redirect followed, nothing sent twice,
no compression asked for or undone, no proxy and no cookie, certificates checked, one limit on the whole time, and no
connection to an address that must not be called, whatever its name resolves to.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.addresses import PARTICIPANTS, Reach
from orchestrator.transport.exchange import BODY_BYTES_MAX, Client, Forbidden, Reply, Transport, TransportError

__all__ = ["BODY_BYTES_MAX", "Client", "Forbidden", "Reply", "Transport", "TransportError", "open_transport"]


@asynccontextmanager
async def open_transport(client: Client, *, connections_max: int, reach: Reach = PARTICIPANTS) -> AsyncIterator[Transport]:
    """Open a transport for as long as the context lasts.

    Args:
        client: Which one.
        connections_max: Most connections to one address; more calls at once wait for one.
        reach: Which addresses may be called.
    """
    if client is Client.HTTP1:
        from orchestrator.transport.http1 import Http1

        http1 = Http1(connections_max=connections_max, reach=reach)
        try:
            yield http1
        finally:
            await http1.close()
    else:
        from orchestrator.transport.fallback import Aiohttp, open_session

        async with open_session(connections_max, reach) as session:
            yield Aiohttp(session)
