"""A network in front of PostgreSQL that can be cut, and stalls, lags and loses the answers to commits.

::

    process ──TCP──▶ proxy ──socket file──▶ PostgreSQL
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from psycopg import conninfo

_CHUNK: Final = 64 * 1024
_TRANSACTION_ENDED: Final = b"Z\0\0\0\x05I"  # ReadyForQuery, idle: what was written before it is committed
_WRITES: Final = (b"insert into ledger_journal", b"insert into order_ledger", b"COMMIT")
_PARSE: Final = re.compile(rb"P.{4}(_pg3_\d+)\0", re.DOTALL)
_BIND: Final = re.compile(rb"B.{4}\0(_pg3_\d+)\0", re.DOTALL)


@dataclass(eq=False)
class _Link:
    """One connection through the proxy.

    Attributes:
        client, server: Where its two ends are written to.
        writing: Whether what was sent last commits something.
        prepared: Names of its prepared statements that do.
    """

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    writing: bool = False
    prepared: set[bytes] = field(default_factory=set)

    def look_at(self, sent: bytes) -> None:
        """Notice a statement that commits something: by its text, or by the name that it was prepared under."""
        if any(text in sent for text in _WRITES):
            self.writing = True
            self.prepared.update(_PARSE.findall(sent))
        elif any(name in self.prepared for name in _BIND.findall(sent)):
            self.writing = True

    def cut(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


class SqlProxy:
    """Passes connections on to a server's socket file.

    Args:
        name: Whose way it is.
        socket: Folder of the socket file.
        dice: Chooses connections.

    Attributes:
        counts: What was done to connections.
        commits_to_lose: Commits whose answer is still to be lost.
    """

    def __init__(self, name: str, socket: Path, dice: random.Random) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._socket = str(socket / ".s.PGSQL.5432")
        self._dice = dice
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.commits_to_lose = 0
        self._lag_s = 0.0
        self._cut_share = 0.0
        self._port = 0

    def url(self, database_url: str) -> str:
        """Return the way to a database through this proxy, as a URL."""
        name = conninfo.conninfo_to_dict(database_url)["dbname"]
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}?sslmode=disable&gssencmode=disable"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["SqlProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.calm()
            self.cut()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    # --- what it can do to the network --------------------------------------------------------------------------------

    def calm(self) -> None:
        """Be a good network again."""
        self._flowing.set()
        self.commits_to_lose, self._lag_s, self._cut_share = 0, 0.0, 0.0

    def cut(self, most: int | None = None) -> None:
        """Break connections: all, or so many of them."""
        for link in self._some(most):
            self.counts["cut"] += 1
            link.cut()

    def half_close(self, most: int) -> None:
        """Let some clients hear nothing more, while what they send still arrives."""
        for link in self._some(most):
            self.counts["half-closed"] += 1
            with suppress(OSError, RuntimeError):
                link.client.write_eof()

    def lose_commits(self, count: int) -> None:
        """Break the next connections that commit something, when it is committed and before its client knows."""
        self.commits_to_lose += count

    def stall(self) -> None:
        """Let nothing through any more, in no direction, while everything stays connected."""
        self.counts["stalled"] += 1
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def degrade(self, lag_s: float, cut_share: float) -> None:
        """Hold each piece of data up, and break the connection at that share of the pieces."""
        self._lag_s, self._cut_share = lag_s, cut_share

    # --- how --------------------------------------------------------------------------------------------------------

    def _some(self, most: int | None) -> list[_Link]:
        links = sorted(self._links, key=id)
        return links if most is None else self._dice.sample(links, min(most, len(links)))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, RuntimeError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._socket)
        link = _Link(writer, to_server)
        self._links.add(link)
        pumps = [
            asyncio.ensure_future(self._pump(reader, to_server, link, from_client=True)),
            asyncio.ensure_future(self._pump(from_server, writer, link, from_client=False)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            link.cut()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link, *, from_client: bool
    ) -> None:
        while data := await reader.read(_CHUNK):
            if from_client:
                link.look_at(data)
            elif link.writing and data.endswith(_TRANSACTION_ENDED):
                link.writing = False
                if self.commits_to_lose > 0:
                    self.commits_to_lose -= 1
                    self.counts["commits lost"] += 1
                    return
            if not self._flowing.is_set():
                await self._flowing.wait()
            if self._lag_s:
                await asyncio.sleep(self._lag_s)
            if self._cut_share and self._dice.random() < self._cut_share:
                self.counts["cut"] += 1
                return
            writer.write(data)
            await writer.drain()
