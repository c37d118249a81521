"""`GET /orders/ID/stream` and `GET /stream`: what changes, told over a WebSocket while it happens.

Each message is a change as JSON. Nothing of what a client sends is looked at. A connection ends with a code that says what to
do: see `Ending`. Whoever goes on with `after` and the `seq` of the last message misses nothing, whichever edge it asks.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from enum import Enum
from typing import Final

import structlog
from aiohttp import web
from psycopg_pool import PoolClosed

from edge_api import keys
from edge_api.admission import too_many
from edge_api.changes import CHANGES, LedgerAway, Stopping, TooSlow
from edge_api.clients import KeysUnknown
from edge_api.following import AllOrders, OneOrder, all_orders, one_order
from edge_api.handshakes import PROTOCOL, STANDING, check_handshake
from edge_api.limits import in_time
from edge_api.middlewares import READ_TIMEOUT_S, add_headers, route_of, unavailable
from edge_api.monitoring import METRICS
from edge_api.problems import Problem, ProblemType, order_not_found
from edge_api.requests import order_id_of, parameters_of
from edge_api.rows import visible_rows
from sql import changes
from sql.changes import ANEW, PlaceGone
from sql.connect import OUTAGE
from sql.tasks import end_task

PLACE_MAX: Final = 2**53 - 1
"""What a double holds exactly, as JavaScript has it."""
SEQ_MAX: Final = 2**31 - 1
MESSAGE_BYTES_MAX: Final = 4 * 1024
"""Of what a client sends."""
IGNORED_APART_S: Final = 0.05
"""Between two messages of a client that are read: nothing is made of them, and one who sends many has them wait."""
HEARTBEAT_S: Final = 20.0
"""Between two pings of a silent connection; one that does not answer within half of it is gone."""
SEND_TIMEOUT_S: Final = 10.0
"""For a batch that a client does not take at once: one that is slow may have had its key revoked meanwhile."""
CLOSE_TIMEOUT_S: Final = 2.0
STREAMS_MAX: Final = 1_000
"""Of one listener; each is a connection besides, of which `SAGA_CONNECTIONS_MAX` is the limit."""
STREAMS_OF_ONE_MAX: Final = 100
"""Of one client, or one operator."""
RETRY_S: Final = 5

log = structlog.get_logger(__name__)


class Ending(Enum):
    """How a stream ends: the close code and its reason (RFC 6455, section 7.4)."""

    FINISHED = (1000, "the order has finished")
    STOPPING = (1001, "this edge stops; go on with another, or later")
    FAILED = (1011, "something went wrong here; go on where you are")
    AWAY = (1013, "the ledger is away; go on where you are, later")
    SLOW = (1013, "you took too long; go on where you are")
    UNAUTHORIZED = (4401, "your key does not hold any more")
    GONE = (4410, "one can't go on from there; begin anew")


class Streams:
    """How many streams a listener has, and whose: clients take no place from operators.

    Args:
        most: Of all together.
        of_one_most: Of one client.
    """

    def __init__(self, most: int = STREAMS_MAX, of_one_most: int = STREAMS_OF_ONE_MAX) -> None:
        self._most = most
        self._of_one_most = of_one_most
        self._open: Counter[str] = Counter()

    def enter(self, name: str) -> None:
        """Take a place.

        Raises:
            Problem: 429 for too many of this client, 503 for too many of all.
        """
        if self._open[name] >= self._of_one_most:
            raise too_many("This client has too many streams open.", RETRY_S)
        if self._open.total() >= self._most:
            headers = {"Retry-After": str(RETRY_S)}
            raise Problem(ProblemType.OVERLOADED, "There are too many streams now; try again.", headers=headers)
        self._open[name] += 1

    def leave(self, name: str) -> None:
        """Give a place back."""
        self._open[name] -= 1
        if not self._open[name]:
            del self._open[name]


STREAMS: Final = web.AppKey("streams", Streams)


async def stream_order(request: web.Request) -> web.StreamResponse:
    """Answer `GET /orders/ID/stream`: each entry of the order's journal from `after` on, or from its beginning, to its end."""
    order_ledger_id = order_id_of(request)
    after = read_after(request.query, SEQ_MAX)

    async def find() -> tuple[int, bool] | None:
        client_id = None if request.app[keys.SEES_ALL_CLIENTS] else request[keys.CLIENT_ID]
        async with visible_rows(request) as conn:
            return await changes.find_order(conn, order_ledger_id, client_id)

    try:
        found = await in_time(find(), READ_TIMEOUT_S)
    except TimeoutError:
        raise unavailable() from None
    if found is None:
        raise order_not_found()
    check_handshake(request)
    with _place(request):
        if after is not None and after > found[0]:
            return await _end_at_once(request, Ending.GONE)
        async with one_order(request.app[CHANGES], order_ledger_id, ANEW if after is None else after) as following:
            return await _serve(request, following)


async def stream_all(request: web.Request) -> web.StreamResponse:
    """Answer `GET /stream`: each change of every order after `after`, or from now on."""
    check_handshake(request)
    after = read_after(request.query, PLACE_MAX)
    with _place(request):
        async with AsyncExitStack() as stack:
            try:
                # Before the handshake is answered: all that is committed after it will be told.
                following = await stack.enter_async_context(all_orders(request.app[CHANGES], after))
            except PlaceGone:
                return await _end_at_once(request, Ending.GONE)
            except TimeoutError:
                raise unavailable() from None
            return await _serve(request, following)


CLIENT_ROUTES: Final = [web.get("/orders/{order_ledger_id}/stream", stream_order, allow_head=False)]
ADMIN_ROUTES: Final = [
    web.get("/stream", stream_all, allow_head=False),
    web.get("/admin/orders/{order_ledger_id}/stream", stream_order, allow_head=False),
]


def read_after(query: Mapping[str, str], most: int) -> int | None:
    """Return the position that a query names; None for none.

    Raises:
        Problem: 400.
    """
    text = parameters_of(query, ["after"]).get("after")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,16}", text) or int(text) > most:
        raise Problem(ProblemType.BAD_QUERY, f"'after' must be the `seq` of a message, a whole number up to {most}.")
    return int(text)


@contextmanager
def _place(request: web.Request) -> Iterator[None]:
    """Count a stream while it lasts."""
    streams, name = request.app[STREAMS], request.get(keys.CLIENT_ID) or request[keys.ACTOR]
    streams.enter(name)
    gauge = request.app[METRICS].streams_open.labels(route_of(request))
    gauge.inc()
    try:
        yield
    finally:
        gauge.dec()
        streams.leave(name)


async def _serve(request: web.Request, following: AllOrders | OneOrder) -> web.StreamResponse:
    """Tell what is followed until one of the two sides ends it."""
    socket = await _open(request)
    reading = asyncio.create_task(_ignore(socket))
    sending = asyncio.create_task(_send(request, socket, following))
    try:
        await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            await _close(socket, sending.result())
    finally:
        await end_task(sending)
        await end_task(reading)
    return socket


async def _end_at_once(request: web.Request, ending: Ending) -> web.StreamResponse:
    """Say by a close code what a browser would not show a page of an answer without a handshake."""
    socket = await _open(request)
    await _close(socket, ending)
    return socket


async def _open(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(
        protocols=(PROTOCOL,),
        heartbeat=HEARTBEAT_S,
        max_msg_size=MESSAGE_BYTES_MAX,
        timeout=CLOSE_TIMEOUT_S,
        # It would cost memory for each connection, and what is secret beside what others choose is not to be compressed.
        compress=False,
    )
    add_headers(request, socket)
    await socket.prepare(request)
    return socket


async def _ignore(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        await asyncio.sleep(IGNORED_APART_S)


async def _send(request: web.Request, socket: web.WebSocketResponse, following: AllOrders | OneOrder) -> Ending:
    """Send what comes; return why nothing more does."""
    while True:
        try:
            if not await request[STANDING].holds():
                return Ending.UNAUTHORIZED
            batch = await following.next()
        except Exception as error:
            return _ending_of(error)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                for message in batch.messages:
                    await socket.send_str(message.text)
        except TimeoutError:
            return _ending_of(TooSlow())
        except ConnectionError:
            return Ending.FINISHED  # nobody is there any more
        if batch.is_last:
            return Ending.FINISHED


def _ending_of(error: Exception) -> Ending:
    for kinds, ending in _ENDINGS.items():
        if isinstance(error, kinds):
            if ending is Ending.SLOW:
                log.warning("stream_dropped", reason=ending.value[1])
            return ending
    log.error("stream_failed", exc_info=error)
    return Ending.FAILED


_ENDINGS: Final = {
    (TooSlow,): Ending.SLOW,
    (PlaceGone,): Ending.GONE,
    (Stopping, PoolClosed): Ending.STOPPING,
    (LedgerAway, KeysUnknown, TimeoutError, *OUTAGE): Ending.AWAY,
}


async def _close(socket: web.WebSocketResponse, ending: Ending) -> None:
    code, reason = ending.value
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close(code=code, message=reason.encode(), drain=False)
