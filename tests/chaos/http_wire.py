"""As much of HTTP/1.1 as a proxy needs that must be able to break every rule of it."""

import asyncio
import gzip
from dataclasses import dataclass
from typing import Final

import orjson

HEAD_MAX: Final = 64 * 1024
BOMB_BYTES: Final = 300 * 1024 * 1024
_GZIPPED: Final = gzip.compress(bytes(50 * 1024 * 1024), 6)
_KEPT: Final = ("content-type", "idempotency-replayed", "retry-after")
GARBAGE: Final = (
    b"<html><body>It works!</body></html>",
    b"",
    b"{}",
    b"[]",
    b"null",
    b'{"status": NaN}',
    b'{"status": "captured", "amount_minor": "a lot"}',
    b'{"garbage": "\\u0000"}',
    b"\xff\xfe{",
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def replayed(self) -> bool:
        """Whether the participant had given it before."""
        return self.headers.get("idempotency-replayed") == "true"

    @property
    def fenced(self) -> bool:
        """Whether an action was refused because its undo had come first."""
        return self.status == 409 and b"fenced" in self.body


async def read_call(reader: asyncio.StreamReader) -> Call | None:
    """Read a request; None when there comes no other."""
    head = await _read_head(reader)
    if head is None:
        return None
    method, path, _ = head[0].split(" ", 2)
    headers = _headers(head[1:])
    return Call(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def exchange(port: int, call: Call) -> Reply:
    """Send a request to a participant and read its answer.

    Raises:
        OSError, EOFError: There is no answer; it may have been carried out.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        headers = {**call.headers, "connection": "close", "content-length": str(len(call.body))}
        lines = [f"{call.method} {call.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + call.body)
        head = await _read_head(reader)
        if head is None:
            raise EOFError("no answer")
        answered = _headers(head[1:])
        body = await reader.readexactly(int(answered.get("content-length", 0)))
        return Reply(int(head[0].split(" ", 2)[1]), answered, body)
    finally:
        writer.transport.abort()


def render(reply: Reply, **more: str) -> bytes:
    """Return an answer's bytes."""
    kept = {name: value for name, value in reply.headers.items() if name in _KEPT}
    return _head(reply.status, {**kept, **more, "content-length": str(len(reply.body))}) + reply.body


def problem(status: int, **headers: str) -> bytes:
    """Return the bytes of a refusal."""
    body = orjson.dumps({"type": "about:blank", "title": "Chaos", "status": status})
    return render(Reply(status, {"content-type": "application/problem+json"}, body), **headers)


def redirect(to: str) -> bytes:
    """Return a redirect that asks for the request with its body."""
    return render(Reply(307, {}, b""), location=to)


def bomb_head() -> bytes:
    """Return the head of an answer that is far too large; its body never has to be sent whole."""
    return _head(200, {"content-type": "application/json", "content-length": str(BOMB_BYTES)})


def gzip_bomb() -> bytes:
    """Return an answer that is large once somebody unpacks it."""
    return render(Reply(200, {"content-type": "application/json"}, _GZIPPED), **{"content-encoding": "gzip"})


def header_bomb(*, one_line: bool) -> bytes:
    """Return an answer with 10,000 headers, or with one of 1 MB."""
    if one_line:
        return _head(200, {"x-long": "x" * 2**20, "content-length": "0"})
    return _head(200, {f"x-{number}": "x" for number in range(10_000)})


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Chaos", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _read_head(reader: asyncio.StreamReader) -> list[str] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    return head.decode("latin-1").rstrip("\r\n").split("\r\n")


def _headers(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
