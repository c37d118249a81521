"""The participant of the benchmark: a process that answers each POST at once with the body that it was sent.

It must never be what limits a contestant, so it is a bare protocol on uvloop with httptools' parser, and its own ceiling is
measured with each run. What it saw stands in a small shared file, so that reading it costs neither side a call.
"""

import asyncio
import contextlib
import mmap
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import httptools
import uvloop

_BOARD: Final = struct.Struct("=qqq")
"""POSTs answered, monotonic nanoseconds of the first and of the last."""
_BODY: Final = b'{"order_id":"00000000-0000-0000-0000-000000000000"}'
_REQUEST: Final = b"POST /orders HTTP/1.1\r\nHost: stub\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
CEILING_CLIENTS: Final = 32
CEILING_S: Final = 1.0
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


class Stub:
    """The stub as the benchmark sees it.

    Args:
        url: Takes POSTs at any path.
        pid: Of its process.
        board: What it has seen.
    """

    def __init__(self, url: str, pid: int, board: mmap.mmap) -> None:
        self.url = url
        self.pid = pid
        self._board = board

    def reset(self) -> None:
        """Forget what was seen; nothing may be on its way."""
        _BOARD.pack_into(self._board, 0, 0, 0, 0)

    @property
    def posts(self) -> int:
        """POSTs answered since the last reset."""
        return int(_BOARD.unpack_from(self._board)[0])

    @property
    def first_s(self) -> float:
        """Monotonic time of the first POST."""
        return float(_BOARD.unpack_from(self._board)[1] / 1e9)

    def ceiling(self) -> float:
        """Return how many POSTs a second it answers to a client that is as bare as it is; it may be the client's limit."""
        began_s = time.monotonic()
        uvloop.run(_load(self.url.rpartition(":")[2]))
        return self.posts / (time.monotonic() - began_s)


@contextlib.contextmanager
def running_stub(delay_ms: int = 0) -> Iterator[Stub]:
    """Run a stub.

    Args:
        delay_ms: How long each answer takes.
    """
    with tempfile.NamedTemporaryFile(prefix="sagaledger-stub-") as file:
        file.write(bytes(_BOARD.size))
        file.flush()
        command = [sys.executable, "-m", "bench.stub", file.name, str(delay_ms)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with mmap.mmap(file.fileno(), _BOARD.size) as board:
                yield Stub(url, process.pid, board)
        finally:
            process.terminate()
            process.wait(timeout=10)


class _Answering(asyncio.Protocol):
    """One connection; `httptools` calls the `on_…` methods."""

    def __init__(self, board: mmap.mmap, delay_s: float) -> None:
        self._board = board
        self._delay_s = delay_s
        self._body = b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        now_ns = time.monotonic_ns()
        posts, first_ns, _ = _BOARD.unpack_from(self._board)
        _BOARD.pack_into(self._board, 0, posts + 1, first_ns or now_ns, now_ns)
        answer = b"%b%d\r\n\r\n%b" % (_ANSWER, len(self._body), self._body)
        self._body = b""
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, answer)
        else:
            self._transport.write(answer)


class _Asking(asyncio.Protocol):
    """A connection that sends a request as soon as the one before is answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._transport.write(_REQUEST)


async def _load(port: str) -> None:
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(_Asking, "127.0.0.1", int(port)) for _ in range(CEILING_CLIENTS)]
    await asyncio.sleep(CEILING_S)
    for transport, _ in opened:
        transport.abort()


async def _serve(board: mmap.mmap, delay_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Answering(board, delay_s), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


def _main(file: str, delay_ms: str) -> None:
    with Path(file).open("r+b") as opened, mmap.mmap(opened.fileno(), _BOARD.size) as board:
        uvloop.run(_serve(board, int(delay_ms) / 1000))


if __name__ == "__main__":
    _main(*sys.argv[1:])
