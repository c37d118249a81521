"""What every transport must do with an honest server, a broken one and a hostile one: raw bytes on both ends."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from orchestrator.addresses import Reach
from orchestrator.transport import BODY_BYTES_MAX, Client, Forbidden, Reply, Transport, TransportError, open_transport
from orchestrator.transport.exchange import HEADERS_MAX

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HANG = b""
"""Said instead of an answer: keep the connection open and say nothing."""


@dataclass
class Server:
    """Answers the requests on each connection with scripted bytes.

    Attributes:
        script: Answers, in order of the requests; the last one is repeated.
        close: Whether to close the connection after an answer.
        drip: Sent after an answer, again and again.
        requests: Head and body of every request.
        connections: How many were opened.
        ended: Set when a client has closed a connection.
    """

    script: list[bytes] = field(default_factory=lambda: [OK])
    close: bool = False
    drip: bytes = b""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    open_most: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.open_most = max(self.open, self.open_most)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(length))
                answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                writer.write(answer)
                await writer.drain()
                while self.drip:
                    writer.write(self.drip)
                    await writer.drain()
                    await asyncio.sleep(0.02)
                if self.close and answer != HANG:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def serving(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await server.serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(Server()) as started:
        yield started


@pytest.fixture(params=list(Client))
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    async with open_transport(request.param, connections_max=3) as opened:
        yield opened


async def ask(transport: Transport, server: Server, method: str = "POST", body: bytes | None = b"{}") -> Reply:
    return await transport.exchange(method, f"{server.url}/do?x=1", {"Idempotency-Key": "k"}, body, 5.0)


async def test_a_request_is_sent_whole_and_an_answer_read_whole(transport: Transport, server: Server) -> None:
    reply = await ask(transport, server)

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"ok", "2")
    assert (lines[0], body) == (b"post /do?x=1 http/1.1", b"{}")
    assert f"host: 127.0.0.1:{server.port}".encode() in lines
    assert {b"idempotency-key: k", b"accept-encoding: identity", b"content-length: 2"} <= set(lines)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_request_without_a_body_says_nothing_of_one(transport: Transport, server: Server, method: str) -> None:
    assert (await ask(transport, server, method, None)).body == b"ok"
    assert b"transfer-encoding" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok", id="chunked"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n",
            b"ok",
            id="trailers",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nok", b"ok", id="until the connection closes"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok", id="after an interim answer"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, b"ok", id="after hints"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="without a body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", b"\x1f\x8b", id="packed"
        ),
    ],
)
async def test_every_framing_of_an_answer_is_read(transport: Transport, server: Server, answer: bytes, body: bytes) -> None:
    server.script, server.close = [answer], True

    assert (await ask(transport, server)).body == body


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", id="too short"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", id="no last chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n", id="no chunk size"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nok", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", id="negative length"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 999999 OK\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\nContent-Length: 2\r\n\r\nok", id="a long line"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(10_000)) + b"Content-Length: 2\r\n\r\nok",
            id="many headers",
        ),
    ],
)
async def test_what_is_no_whole_answer_is_an_error_and_nothing_is_sent_again(
    transport: Transport, server: Server, answer: bytes
) -> None:
    server.script, server.close = [answer or b"\r\n"], True

    with pytest.raises(TransportError):
        await ask(transport, server)

    assert len(server.requests) == 1


def test_a_few_more_headers_than_any_server_sends_are_allowed() -> None:
    assert HEADERS_MAX >= 100


@pytest.mark.parametrize("framing", ["Content-Length: 10000000", "Transfer-Encoding: chunked", "Connection: close"])
async def test_a_body_over_the_cap_is_not_read_to_its_end(transport: Transport, server: Server, framing: str) -> None:
    filling = b" " * (BODY_BYTES_MAX + 1)
    body = b"%x\r\n%b\r\n" % (len(filling), filling) if "chunked" in framing else filling
    server.script = [b"HTTP/1.1 422 No\r\n" + framing.encode() + b"\r\n\r\n" + body]

    reply = await ask(transport, server)

    assert (reply.status, reply.body) == (422, None)


async def test_a_body_at_the_cap_is_read(transport: Transport, server: Server) -> None:
    server.script = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (BODY_BYTES_MAX, b" " * BODY_BYTES_MAX)]

    assert (await ask(transport, server)).body == b" " * BODY_BYTES_MAX


async def test_a_redirect_is_an_answer_like_another(transport: Transport, server: Server) -> None:
    server.script = [b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"]

    assert (await ask(transport, server)).status == 307
    assert len(server.requests) == 1


async def test_a_connection_is_kept_and_used_again(transport: Transport, server: Server) -> None:
    for _ in range(5):
        await ask(transport, server)

    assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_the_server_gives_up_is_left(transport: Transport, server: Server, answer: bytes) -> None:
    server.script = [answer]

    await ask(transport, server)
    await ask(transport, server)

    assert server.connections == 2


async def test_what_comes_after_an_answer_is_never_taken_for_the_next_one(transport: Transport, server: Server) -> None:
    server.script = [OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen", OK]

    first = await ask(transport, server)
    await asyncio.wait_for(server.ended.wait(), 5)
    second = await ask(transport, server)

    assert (first.body, second.body) == (b"ok", b"ok")


async def test_a_connection_that_died_while_it_was_kept_costs_no_second_sending(transport: Transport, server: Server) -> None:
    await ask(transport, server)
    server.script, server.close = [b"\r\n", OK], True
    with pytest.raises(TransportError):
        await ask(transport, server)

    assert len(server.requests) == 2


async def test_a_call_that_is_given_up_closes_its_connection(transport: Transport, server: Server) -> None:
    server.script = [HANG, OK]

    with pytest.raises(TimeoutError):
        await transport.exchange("POST", server.url, {}, b"", 0.1)
    await asyncio.wait_for(server.ended.wait(), 5)

    assert (await ask(transport, server)).body == b"ok"


async def test_calls_at_once_share_so_many_connections(transport: Transport, server: Server) -> None:
    replies = await asyncio.gather(*(ask(transport, server) for _ in range(12)))

    assert {reply.body for reply in replies} == {b"ok"}
    assert server.open_most <= 3


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
async def test_a_header_that_would_end_early_is_never_sent(transport: Transport, server: Server, value: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await transport.exchange("POST", server.url, {"Idempotency-Key": value}, b"", 5.0)

    assert server.requests == []


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://user:secret@127.0.0.1/", "http:///nobody", "http://127.0.0.1/with a space"]
)
async def test_an_address_that_is_none_is_never_called(url: str) -> None:
    async with open_transport(Client.HTTP1, connections_max=1) as transport:
        with pytest.raises(ValueError, match=r".+"):
            await transport.exchange("GET", url, {}, None, 5.0)


async def test_a_request_that_must_have_a_body_says_that_it_is_empty(transport: Transport, server: Server) -> None:
    await ask(transport, server, "PUT", None)

    assert b"content-length: 0" in server.requests[0].lower()


async def test_another_protocol_is_not_spoken(server: Server) -> None:
    server.script = [b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\nother"]
    async with open_transport(Client.HTTP1, connections_max=1) as transport:
        with pytest.raises(TransportError, match="another protocol"):
            await ask(transport, server)


async def test_trailers_without_end_are_given_up(server: Server) -> None:
    server.script = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: " + b"x" * (10 * BODY_BYTES_MAX)]
    async with open_transport(Client.HTTP1, connections_max=1) as transport:
        with pytest.raises(TransportError, match="more bytes"):
            await ask(transport, server)


@pytest.mark.parametrize(
    ("first", "more"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" ", id="a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="chunks"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n", id="interim answers"),
    ],
)
async def test_what_drips_is_given_up_when_all_its_time_is_over(
    transport: Transport, server: Server, first: bytes, more: bytes
) -> None:
    """The time is of the whole: a byte now and then does not lengthen it."""
    server.script, server.drip = [first], more

    asked = asyncio.create_task(transport.exchange("GET", server.url, {}, None, 0.3))
    await asyncio.wait({asked}, timeout=15)

    assert asked.done()
    assert isinstance(asked.exception(), TimeoutError)
    await asyncio.wait_for(server.ended.wait(), 5)


async def test_a_flood_of_interim_answers_is_given_up(transport: Transport, server: Server) -> None:
    server.script = [b"HTTP/1.1 100 Continue\r\n\r\n" * 200_000]

    with pytest.raises((TransportError, TimeoutError)):
        await transport.exchange("GET", server.url, {}, None, 2.0)


async def test_nobody_there_is_an_error(transport: Transport) -> None:
    with pytest.raises(TransportError):
        await transport.exchange("GET", "http://127.0.0.1:1/", {}, None, 5.0)


# --- names ------------------------------------------------------------------------------------------------------------


@dataclass
class Names:
    """A resolver that answers as it is told, and what was dialled after it.

    Attributes:
        answers: Addresses, by turn; the last turn is repeated.
        asked: Names that were looked up.
        dialled: Addresses to which a connection was tried.
    """

    answers: list[list[str]]
    asked: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    loop, names = asyncio.get_running_loop(), Names([])
    resolve, connect = loop.getaddrinfo, loop.sock_connect

    async def look_up(host: str, port: int, **options: Any) -> Any:
        names.asked.append(host)
        addresses = names.answers.pop(0) if len(names.answers) > 1 else names.answers[0] if names.answers else [host]
        return [found for address in addresses for found in await resolve(address, port, **options)]

    async def dial(sock: socket.socket, address: Any) -> None:
        names.dialled.append(address[0])
        await connect(sock, address)

    monkeypatch.setattr(loop, "getaddrinfo", look_up)
    monkeypatch.setattr(loop, "sock_connect", dial)
    return names


FORBIDDEN = ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "fe80::1", "0.0.0.0", "224.0.0.1"]


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_a_name_that_leads_to_a_forbidden_address_is_never_dialled(
    transport: Transport, names: Names, address: str
) -> None:
    names.answers = [[address]]

    with pytest.raises(Forbidden, match=r"must not be called"):
        await transport.exchange("GET", "http://shop.example:8101/", {}, None, 5.0)

    assert (names.asked, names.dialled) == (["shop.example"], [])


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "0xA9FEA9FE", "[::ffff:169.254.169.254]", "[fe80::1]"])
async def test_a_forbidden_address_is_never_dialled_however_it_is_written(
    transport: Transport, names: Names, host: str
) -> None:
    with pytest.raises(TransportError, match=r"link-local|not a canonical"):
        await transport.exchange("GET", f"http://{host}/latest/meta-data", {}, None, 5.0)

    assert names.dialled == []


async def test_an_address_is_dialled_without_a_look_at_names(transport: Transport, server: Server, names: Names) -> None:
    """Names that nobody answers for must not hold up participants whose addresses are known."""
    assert (await ask(transport, server)).body == b"ok"

    assert (names.asked, names.dialled) == ([], ["127.0.0.1"])


async def test_of_several_addresses_only_those_that_may_be_called_are_dialled(
    transport: Transport, server: Server, names: Names
) -> None:
    names.answers = [["169.254.169.254", "127.0.0.1"]]

    reply = await transport.exchange("GET", f"http://shop.example:{server.port}/", {}, None, 5.0)

    assert (reply.body, names.dialled) == (b"ok", ["127.0.0.1"])
    assert f"host: shop.example:{server.port}".encode() in server.requests[0].lower()


async def test_a_name_that_changes_between_check_and_use_is_judged_by_what_is_dialled(
    transport: Transport, server: Server, names: Names
) -> None:
    names.answers = [["127.0.0.1"], ["169.254.169.254"]]

    reply = await transport.exchange("GET", f"http://shop.example:{server.port}/", {}, None, 5.0)

    assert (reply.body, names.asked, names.dialled) == (b"ok", ["shop.example"], ["127.0.0.1"]), "one look, and no other"


async def test_a_kept_connection_is_no_way_around_the_next_check(transport: Transport, server: Server, names: Names) -> None:
    names.answers = [["127.0.0.1"], ["169.254.169.254"]]
    server.close = True
    await transport.exchange("GET", f"http://one.example:{server.port}/", {}, None, 5.0)

    with pytest.raises(Forbidden):
        await transport.exchange("GET", f"http://other.example:{server.port}/", {}, None, 5.0)

    assert names.dialled == ["127.0.0.1"]


@pytest.mark.parametrize("client", list(Client))
async def test_what_an_operator_allows_is_dialled(client: Client, server: Server, names: Names) -> None:
    names.answers = [["127.0.0.1"]]
    url = f"http://shop.example:{server.port}/"
    async with open_transport(client, connections_max=1, reach=Reach(private=False)) as closed:
        with pytest.raises(Forbidden, match="SAGA_WEBHOOK_PRIVATE"):
            await closed.exchange("GET", url, {}, None, 5.0)
        assert names.dialled == []
    async with open_transport(client, connections_max=1, reach=Reach(private=True)) as opened:
        assert (await opened.exchange("GET", url, {}, None, 5.0)).body == b"ok"


async def test_an_environment_full_of_proxies_changes_nothing(
    transport: Transport, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert (await ask(transport, server)).body == b"ok"


# --- TLS --------------------------------------------------------------------------------------------------------------


def _authority() -> trustme.CA:
    return trustme.CA()


def _named(ca: trustme.CA, name: str, **options: datetime.datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name, **options).configure_cert(context)
    return context


YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
LONG_AGO = YESTERDAY - datetime.timedelta(days=30)


@pytest.mark.parametrize(
    ("certificate", "trusted"),
    [
        pytest.param(lambda ca: _named(ca, "127.0.0.1"), True, id="right"),
        pytest.param(lambda ca: _named(ca, "another.example"), False, id="of another name"),
        pytest.param(lambda ca: _named(ca, "127.0.0.1", not_before=LONG_AGO, not_after=YESTERDAY), False, id="expired"),
        pytest.param(lambda _: _named(_authority(), "127.0.0.1"), False, id="of an unknown authority"),
    ],
)
@pytest.mark.parametrize("client", list(Client))
async def test_only_a_certificate_that_holds_is_talked_to(
    client: Client,
    certificate: Callable[[trustme.CA], ssl.SSLContext],
    trusted: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    ca = _authority()
    authorities = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(authorities))
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    async with serving(Server(), certificate(ca)) as server, open_transport(client, connections_max=1) as transport:
        asked = transport.exchange("GET", f"https://127.0.0.1:{server.port}/", {}, None, 5.0)
        if trusted:
            assert (await asked).body == b"ok"
        else:
            with pytest.raises(TransportError):
                await asked

    assert len(server.requests) == int(trusted)
