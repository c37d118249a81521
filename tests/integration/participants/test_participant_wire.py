"""What a participant answers to bytes that are no request, or the wrong one: raw sockets, the process's own listener."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from participants import calls, serving
from participants.main import serve
from participants.settings import load_settings

SECRET = "of-notifications"
MESSAGE = b'{"notification_id": "n1", "order_id": "o1", "customer_id": "17850", "template": "t"}'
HEADERS = {"server": "sagaledger", "x-content-type-options": "nosniff", "cache-control": "no-store"}


@asynccontextmanager
async def running(participant_database: Callable[[str], str]) -> AsyncIterator[int]:
    """Serve a participant as its process does; gives the port."""
    settings = load_settings(
        notifications_database_url=participant_database("notifications"), participant_port=0, notifications_secret=SECRET
    )
    stop, announced = asyncio.Event(), asyncio.Queue[str]()
    serving = asyncio.create_task(serve("notifications", settings, announce=announced.put_nowait, stop=stop))
    async with asyncio.timeout(20):
        yield int((await announced.get()).rpartition(":")[2])
        stop.set()
        await serving


@pytest.fixture
async def port(participant_database: Callable[[str], str]) -> AsyncIterator[int]:
    async with running(participant_database) as port:
        yield port


async def say(port: int, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, part by part, and read the answer until its end: status, headers by name in lower case, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body
    finally:
        writer.close()


def post(body: bytes = MESSAGE, *lines: str, key: str | None = "k", secret: str | None = SECRET) -> bytes:
    head = ["POST /notifications HTTP/1.1", "Host: x", *lines]
    if key is not None:
        head.append(f"Idempotency-Key: {key}")
    if secret is not None:
        head.append(f"Authorization: Bearer {secret}")
    if not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in lines):
        head.append(f"Content-Length: {len(body)}")
    if not any(line.startswith("Content-Type") for line in lines):
        head.append("Content-Type: application/json")
    return "\r\n".join([*head, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        pytest.param(201, post(), id="done"),
        pytest.param(401, post(secret=None), id="without a secret"),
        pytest.param(401, post(b"x" * 2_000_000, secret=None), id="without a secret, with a large body"),
        pytest.param(400, post(key=None), id="without a key"),
        pytest.param(400, post(b"{"), id="no JSON"),
        pytest.param(413, post(b'"' + b"x" * 2**20 + b'"'), id="too large"),
        pytest.param(415, post(gzip.compress(MESSAGE), "Content-Encoding: gzip"), id="packed"),
        pytest.param(415, post(MESSAGE, "Content-Encoding: identity", "Content-Encoding: gzip"), id="packed, said late"),
        pytest.param(415, post(MESSAGE, "Content-Type: text/plain"), id="no JSON by its type"),
        pytest.param(422, post(b"{}"), id="not valid"),
        pytest.param(404, post().replace(b"/notifications", b"/nowhere"), id="nowhere"),
        pytest.param(405, post().replace(b"POST", b"PATCH"), id="wrong method"),
        pytest.param(417, post(MESSAGE, "Expect: miracles"), id="an expectation"),
        pytest.param(400, b"GARBAGE canary-1\r\n\r\n", id="no HTTP"),
        pytest.param(400, post(MESSAGE, "Content-Length: 5", "Content-Length: 6"), id="two lengths"),
        pytest.param(400, post(MESSAGE, "Content-Length: 5", "Transfer-Encoding: chunked"), id="length and chunks"),
        pytest.param(400, post(b"zz\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), id="no chunk"),
        pytest.param(400, post(MESSAGE, f"X-Long: {'x' * 20_000}"), id="a long line"),
        pytest.param(400, post(MESSAGE, *(f"X-{n}: 1" for n in range(1_000))), id="many lines"),
        pytest.param(400, post(MESSAGE, "X-Canary\x01: 1"), id="a header that is none"),
    ],
)
async def test_every_answer_has_the_same_headers_and_names_no_software(port: int, status: int, sent: bytes) -> None:
    code, headers, body = await say(port, sent)

    assert (code, {name: headers.get(name) for name in HEADERS}) == (status, HEADERS)
    kept = {"content-type", "content-length", "date", "x-correlation-id", "connection", "www-authenticate", "allow", *HEADERS}
    assert headers.keys() <= kept
    assert headers["content-type"].startswith("application/problem+json" if status >= 400 else "application/json")
    assert b"canary" not in body
    assert b"aiohttp" not in body


async def test_a_body_that_breaks_off_amid_its_chunks_is_no_fault_of_the_service(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "BODY_TIMEOUT_S", 0.1)
    head = post(b"", "Transfer-Encoding: chunked")

    code, _, _ = await say(port, head, b"2\r\n{ \r\n", b"-1\r\n")

    assert code in (400, 408)


async def test_a_body_that_drips_is_given_up_and_its_connection_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "BODY_TIMEOUT_S", 0.1)

    code, headers, _ = await say(port, post(b"", "Content-Length: 100"), b"{")

    assert (code, headers["connection"]) == (408, "close")


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nX-Dri"], ids=["nothing", "half a header"])
async def test_a_header_that_does_not_come_closes_its_connection(
    participant_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(serving, "HEADER_TIMEOUT_S", 0.3)
    async with running(participant_database) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(15):
            assert await reader.read() == b""
        writer.close()


async def test_a_kept_connection_waits_for_its_next_request_without_that_deadline(
    participant_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(participant_database) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for timeout_s in (10.0, 0.08, 0.08):
            # The deadline begins with the first byte: what passes before it does not count.
            monkeypatch.setattr(serving, "HEADER_TIMEOUT_S", timeout_s)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(15):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                await reader.readexactly(16)
            await asyncio.sleep(0.1)
        writer.write(b"GET /hea")
        async with asyncio.timeout(15):
            assert await reader.read() == b"", "and then it begins anew"
        writer.close()


async def test_a_body_has_more_time_than_a_header(
    participant_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEADER_TIMEOUT_S", 0.15)
    async with running(participant_database) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = post()
        for part in (sent[: -len(MESSAGE)], MESSAGE[:1], MESSAGE[1:2], MESSAGE[2:3], MESSAGE[3:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.1)
        async with asyncio.timeout(15):
            assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        writer.close()


async def test_a_caller_that_does_not_read_its_answers_is_cut_off(
    participant_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "WRITE_TIMEOUT_S", 0.3)
    ended = asyncio.Event()
    lost = serving._Served.connection_lost

    def noted(connection: serving._Served, exc: BaseException | None) -> None:
        lost(connection, exc)
        ended.set()

    monkeypatch.setattr(serving._Served, "connection_lost", noted)
    async with running(participant_database) as port:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.setblocking(False)
            await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", port))
            asking = asyncio.create_task(
                asyncio.get_running_loop().sock_sendall(deaf, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50_000)
            )
            async with asyncio.timeout(20):
                await ended.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def test_who_is_not_let_in_sends_no_body_that_is_read(port: int) -> None:
    """The answer comes although the body does not."""
    code, _, _ = await say(port, post(b"{", "Content-Length: 1000000", secret="other"))

    assert code == 401
