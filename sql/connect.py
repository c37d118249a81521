"""Connections to the ledger with every limit stated: none waits for ever, none is kept that can't be relied on.

The server's own limits hold only while the server runs and the network carries, so each wait for an answer has a limit on
this side too. A connection whose answer was not waited for is broken for good: what its statement did is not known.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import psycopg
from psycopg import AsyncConnection, AsyncCursor, errors, waiting
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import Row, TupleRow, namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sql.loader import Queries

OUTAGE: Final = (
    psycopg.OperationalError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
    PoolTimeout,
)
"""What a statement raises when the server is away, too busy, or has become a standby: the order is not to blame."""
BAD_VALUE: Final = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded)
"""What a statement raises when its values can't be stored, now or ever; to be caught before `OUTAGE`."""
START_TIMEOUT_S: Final = 5.0
"""Well below ten, in which a process ends that is told to stop; whoever started it starts it again."""
START_RETRY_S: Final = 0.2
CONNECT_TIMEOUT_S: Final = 2
CHECKOUT_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 6.0
"""A second more than the server's own limit on a statement, whose error says more."""
CLOSE_TIMEOUT_S: Final = 0.5
ALL_CLIENTS: Final = "*"
"""Who acts for operators, or on its own account, names this in place of a client; no client is called so."""

_LIMITS: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}
_QUERIES: Final = Queries("session")
_PREPARE_SESSION: Final = _QUERIES["prepare_session"]
_ACT_FOR: Final = _QUERIES["act_for"]


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time; what the statement did is not known, and its connection is gone."""


class NotPrimary(psycopg.OperationalError):
    """The server is a standby, is read-only, or is an old primary that has come back."""


class Unfit(psycopg.OperationalError):
    """The database can't be used as it is set up; the sentence says what has to be changed."""


@dataclass
class Lineage:
    """The newest history of a cluster that was seen: a server with an older one was replaced by a promotion.

    Attributes:
        cluster: Identifier of the cluster.
        timeline: The highest that was seen of it.
    """

    cluster: int = 0
    timeline: int = 0

    def follow(self, cluster: int, timeline: int) -> None:
        """Take note of a primary.

        Raises:
            NotPrimary: It was replaced; writes to it would be lost.
        """
        if cluster == self.cluster and timeline < self.timeline:
            raise NotPrimary(f"the server is on timeline {timeline}, but {self.timeline} has begun: it is an old primary")
        self.cluster, self.timeline = cluster, timeline


class _Cursor(AsyncCursor[Row]):
    """A cursor whose statements tell the server for which client they act, in the same round trip and transaction."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        session: Any = self.connection
        if session.client_id is None:
            return await super().execute(query, params, **options)
        # Local to the transaction, here an implicit one of two statements: a session may be another client's next time,
        # and behind a pooler the next statement may run in another session.
        async with session.pipeline():
            await session.naming.execute(_ACT_FOR, {"client_id": session.client_id})
            await super().execute(query, params, **options)
        return self


class Session(AsyncConnection[TupleRow]):
    """An autocommit connection to a primary, with the settings that the code relies on.

    Attributes:
        demoted: The server refused a write because it is no primary any more.
        walled: The server hides every client's rows from it, but of the one that a statement acts for.
        client_id: For whom its statements act; None where nothing has to be told.
        naming: What tells the server of it.
    """

    demoted = False
    walled = False
    client_id: str | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = _Cursor
        self.naming = AsyncCursor(self)

    @classmethod
    async def connect(cls, conninfo: str = "", *, lineage: Any = None, role: Any = None, **options: Any) -> Self:
        """Connect to the first host of an address that is a primary.

        Args:
            conninfo: libpq URL; several hosts are tried in order.
            lineage: What is known of the cluster's history; None for nothing.
            role: Role to take if the user of the address may; None to stay that user.
            **options: As for psycopg.

        Raises:
            psycopg.OperationalError: None of them can be used; the error is the last one's.
        """
        lineage = lineage or Lineage()
        failure: psycopg.OperationalError | None = None
        for address in _addresses(conninfo):
            try:
                session = await super().connect(address, autocommit=True, **{**_LIMITS, **options})
                try:
                    await session._prepare(lineage, role)
                except BaseException:
                    await session.close()
                    raise
                return session
            except psycopg.OperationalError as error:
                failure = error
        assert failure is not None
        raise failure

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server, as every statement does.

        Raises:
            NoAnswer: It took longer than `ANSWER_TIMEOUT_S`.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S if timeout is None else None):
                return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except TimeoutError:
            self.pgconn.finish()
            raise NoAnswer(f"the server did not answer within {ANSWER_TIMEOUT_S:g} s") from None
        except asyncio.CancelledError:
            # Asking the server to cancel would be another wait; and a commit that waits for its standby would be told
            # to stop waiting, and stand on one server only.
            self.pgconn.finish()
            raise
        except errors.ReadOnlySqlTransaction:
            self.demoted = True
            raise

    async def _prepare(self, lineage: Lineage, role: str | None) -> None:
        cursor = self.cursor(row_factory=namedtuple_row)
        await cursor.execute(_PREPARE_SESSION, {"backend_pid": self.info.backend_pid, "role": role})
        found: Any = await cursor.fetchone()
        if found.encoding != "UTF8":
            raise Unfit(f"the database's encoding is {found.encoding}: create it with `encoding 'UTF8' template template0`")
        if found.read_only:
            raise NotPrimary("the server is a standby, or read-only")
        lineage.follow(found.cluster, found.timeline)
        self.walled = found.walled
        if not found.direct:
            _check_pooled(found.settings)
            self.prepare_threshold = None  # a prepared statement belongs to a session, and the pooler changes it


class Pool(AsyncConnectionPool[Session]):
    """Sessions of one process; when one meets a server that was demoted, all are opened anew."""

    async def putconn(self, conn: Session) -> None:
        """Take a session back."""
        if conn.demoted:
            await self.drain()
        await super().putconn(conn)

    @asynccontextmanager
    async def acting_for(self, client_id: str) -> AsyncIterator[Session]:
        """Lend a session whose statements see the rows of one client; where the server hides none, those of all.

        Args:
            client_id: The client; `ALL_CLIENTS` for all of them.

        Raises:
            PoolTimeout: No session was free or could be opened in time.
        """
        async with self.connection() as session:
            session.client_id = client_id if session.walled else None
            try:
                yield session
            finally:
                session.client_id = None


@asynccontextmanager
async def open_pool(url: str, *, name: str, connections_max: int, role: str | None = None) -> AsyncIterator[Pool]:
    """Open a pool of autocommit connections and wait until the first is there.

    Args:
        url: libpq URL; with several hosts the primary among them is used, whichever it is at the time.
        name: Shown in `pg_stat_activity`.
        connections_max: Most connections.
        role: Role that sessions take if the user of the address may; None to stay that user.

    Raises:
        Unfit: The database can't be used as it is set up.
        psycopg.OperationalError: There was no primary within `START_TIMEOUT_S` seconds.
    """
    options = {"lineage": Lineage(), "role": role, "application_name": f"saga {name}"}
    pool = Pool(
        url,
        open=False,
        min_size=1,
        max_size=connections_max,
        timeout=CHECKOUT_TIMEOUT_S,
        max_idle=60.0,
        max_lifetime=1800.0,
        reconnect_timeout=0,
        name=name,
        kwargs=options,
        connection_class=Session,
    )
    await _await_primary(url, options)
    try:
        await pool.open(wait=True, timeout=START_TIMEOUT_S)
        yield pool
    finally:
        await pool.close(timeout=CLOSE_TIMEOUT_S)


async def _await_primary(url: str, options: dict[str, Any]) -> None:
    """Connect once, because a pool does not tell why it can't."""
    failure: psycopg.OperationalError = NoAnswer("the server did not answer")
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                try:
                    await (await Session.connect(url, **options)).close()
                    return
                except Unfit:
                    raise
                except psycopg.OperationalError as error:
                    failure = error
                await asyncio.sleep(START_RETRY_S)
    except TimeoutError:
        raise failure from None


def _addresses(url: str) -> list[str]:
    """Return an address for each host, so that one that must not be used does not hide those after it."""
    given = conninfo_to_dict(url)
    hosts, ports = str(given.get("host") or "").split(","), str(given.get("port") or "").split(",")
    if len(hosts) == 1 or "hostaddr" in given:
        return [url]
    ports = ports if len(ports) > 1 else ports * len(hosts)
    return [make_conninfo(url, host=host, port=port) for host, port in zip(hosts, ports, strict=True)]


def _check_pooled(settings: dict[str, str]) -> None:
    """Check what keeps orders from being lost or doubled; behind a pooler only the server can set it."""
    if settings["synchronous_commit"] not in ("on", "remote_apply"):
        raise Unfit("synchronous_commit is not on behind the pooler: `alter role ... set synchronous_commit = on`")
    if settings["default_transaction_isolation"] != "read committed":
        raise Unfit(
            "default_transaction_isolation is not read committed behind the pooler:"
            " `alter role ... set default_transaction_isolation = 'read committed'`"
        )
