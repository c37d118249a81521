"""Keys of clients on a running edge: which are taken, which are refused, and how soon a change is in force."""

import asyncio
import contextlib
import time
from typing import Any

import psycopg
import pytest

from edge_api import clients
from edge_api.doors import FAILURES_PER_S
from edge_api.errors import EdgeError
from orchestrator import api_keys
from orchestrator.api_keys import NewKey, Scope
from tests.integration.edge.credentials import BY, STATIC, TOKEN, admin_of, bearing, clients_of, make_key, normalised
from tests.integration.edge.service import Edge, Proxy, Reply, StartEdge, eventually

IN_FORCE_S = 2.0
"""Within which a change holds on every edge, as is promised."""


async def asked_with(edge: Edge, key: str, path: str = "/orders") -> Reply:
    return await edge.get(path, **bearing(key))


async def ended(ledger_url: str, key: NewKey, *, overlap_s: float | None = None) -> NewKey | None:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        if overlap_s is None:
            return await api_keys.revoke(conn, key.key_id, **BY)
        return await api_keys.rotate(conn, key.key_id, overlap_s=overlap_s, **BY)


async def test_a_key_holds_from_the_request_after_it_was_made(start_edge: StartEdge, ledger_url: str) -> None:
    edge = await start_edge(api_keys=f"ann={STATIC}")

    for number in range(3):
        made = await make_key(ledger_url, f"client-{number}", Scope.ORDERS)
        assert (await asked_with(edge, made.key)).status == 200


async def test_a_revoked_key_is_refused_everywhere_within_two_seconds(start_edge: StartEdge, ledger_url: str) -> None:
    edges = [await start_edge(), await start_edge()]
    made = await make_key(ledger_url, "ann", Scope.ORDERS)
    assert [(await asked_with(edge, made.key)).status for edge in edges] == [200, 200]

    await ended(ledger_url, made)

    async def is_refused_everywhere() -> bool:
        return {(await asked_with(edge, made.key)).status for edge in edges} == {401}

    await eventually(is_refused_everywhere, timeout_s=IN_FORCE_S + 2)


async def test_both_keys_hold_while_one_takes_the_place_of_the_other(start_edge: StartEdge, ledger_url: str) -> None:
    edge = await start_edge()
    before = await make_key(ledger_url, "ann", Scope.ORDERS)
    after = await ended(ledger_url, before, overlap_s=60)

    assert after is not None
    assert (after.client_id, after.scopes) == (before.client_id, before.scopes)
    assert [(await asked_with(edge, key.key)).status for key in (before, after)] == [200, 200]
    await ended(ledger_url, after, overlap_s=0)

    async def is_refused() -> bool:
        return (await asked_with(edge, after.key)).status == 401

    await eventually(is_refused, timeout_s=IN_FORCE_S + 2)
    assert (await asked_with(edge, before.key)).status == 200


async def test_a_key_that_expires_is_refused_from_then_on_without_a_look(
    start_edge: StartEdge, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "LOOK_S", 60.0)
    made = await make_key(ledger_url, "ann", Scope.ORDERS, expires_days=3 / 86_400)
    edge = await start_edge()
    assert (await asked_with(edge, made.key)).status == 200

    async def is_refused() -> bool:
        return (await asked_with(edge, made.key)).status == 401

    await eventually(is_refused, timeout_s=5)


async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(start_edge: StartEdge, ledger_url: str) -> None:
    edge = await start_edge(api_keys=f"ann={STATIC}", admin_token=TOKEN)
    made, revoked = [await make_key(ledger_url, "ann", Scope.ORDERS) for _ in range(2)]
    expired = await make_key(ledger_url, "ann", Scope.ORDERS, expires_days=1e-9)
    await ended(ledger_url, revoked)
    key_id, _, secret = made.key.partition(".")
    wrong = {
        "none": {},
        "basic": {"Authorization": f"Basic {made.key}"},
        "empty": bearing(""),
        "static, but one letter": bearing(STATIC[:-1]),
        "static, other case": bearing(STATIC.upper()),
        "truncated": bearing(made.key[:-1]),
        "longer": bearing(made.key + "A"),
        "other case": bearing(f"{key_id}.{secret.swapcase()}"),
        "id in other case": bearing(f"{key_id.upper()}.{secret}"),
        "another's secret": bearing(f"{key_id}.{revoked.key.partition('.')[2]}"),
        "no such id": bearing(f"sgl_{'a' * 16}.{secret}"),
        "the id alone": bearing(key_id),
        "the secret alone": bearing(secret),
        "revoked": bearing(revoked.key),
        "expired": bearing(expired.key),
        "the admin token": bearing(TOKEN),
        "not ASCII": bearing("k\u00e9y"),
        "8,000 bytes": bearing("k" * 8_000),
    }
    answers = {}
    for name, headers in wrong.items():
        answers[name] = normalised(await clients_of(edge).ask("GET", "/orders", **headers))
        await asyncio.sleep(0.1)  # so that the bucket of failed logins is never empty

    for name, answer in answers.items():
        assert answer == answers["none"], name
    status, body, headers = answers["none"]
    assert (status, body["type"].rpartition("/")[2], headers["www-authenticate"]) == (401, "unauthorized", "Bearer")
    assert (await asked_with(edge, made.key)).status == 200


async def test_a_key_of_a_megabyte_is_refused_before_anybody_looks_at_it(start_edge: StartEdge) -> None:
    edge = await start_edge(api_keys=f"ann={STATIC}")
    answer = b""

    # It is told while it still sends, and may not come to read it.
    with contextlib.suppress(ConnectionError):
        answer = await edge.raw(b"GET /orders HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + b"k" * 2**20 + b"\r\n\r\n")

    assert answer[:10] in (b"", b"HTTP/1.1 4", b"HTTP/1.0 4")
    assert (await asked_with(edge, STATIC)).status == 200


async def test_a_key_in_the_address_is_none(start_edge: StartEdge, ledger_url: str) -> None:
    made = await make_key(ledger_url, "ann", Scope.ORDERS)
    edge = await start_edge(admin_token=TOKEN)

    for name in ("api_key", "access_token", "key"):
        assert (await edge.get(f"/orders?{name}={made.key}")).status == 401
    assert (await admin_of(edge).ask("GET", f"/metrics?access_token={TOKEN}")).status == 401


async def test_a_key_without_the_scope_is_forbidden_and_told_which(start_edge: StartEdge, ledger_url: str) -> None:
    keys = {scope: await make_key(ledger_url, "ann", scope) for scope in Scope}
    edge = await start_edge()

    for path, needed in (("/orders", Scope.ORDERS), ("/sagas", Scope.ORDERS), ("/events", Scope.EVENTS)):
        for scope, made in keys.items():
            reply = await asked_with(edge, made.key, path)
            assert reply.status == (200 if scope is needed else 403), (path, scope)
            if reply.status == 403:
                assert reply.problem == "forbidden"
                assert reply.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{needed}"'


async def test_the_first_key_closes_the_door_for_good(start_edge: StartEdge, ledger_url: str) -> None:
    edge = await start_edge()
    assert (await edge.get("/orders")).status == 200
    made = await make_key(ledger_url, "ann", Scope.ORDERS)

    async def is_closed() -> bool:
        return (await edge.get("/orders")).status == 401

    await eventually(is_closed, timeout_s=IN_FORCE_S + 2)
    assert (await admin_of(edge).ask("GET", "/metrics")).status == 200, "operators have no key yet"
    await ended(ledger_url, made)

    assert (await (await start_edge()).get("/orders")).status == 401, "a key that ended leaves the door closed"


async def test_the_first_key_of_an_operator_closes_the_other_door(start_edge: StartEdge, ledger_url: str) -> None:
    edge = await start_edge()
    made = await make_key(ledger_url, "ops", Scope.ADMIN)

    async def is_closed() -> bool:
        return (await admin_of(edge).ask("GET", "/metrics")).status == 401

    await eventually(is_closed, timeout_s=IN_FORCE_S + 2)
    assert (await admin_of(edge).ask("GET", "/metrics", **bearing(made.key))).status == 200
    assert (await edge.get("/orders")).status == 200, "clients have no key yet"


async def test_keys_that_are_known_hold_for_a_time_while_the_ledger_is_away(
    start_edge: StartEdge, ledger_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = [await make_key(ledger_url, "ann", Scope.ORDERS) for _ in range(2)]
    edge = await start_edge(database_url=proxy.url(ledger_url))
    assert (await asked_with(edge, known.key, "/none")).status == 404
    stranger = f"sgl_{'a' * 16}.{known.key.partition('.')[2]}"
    proxy.cut()

    assert (await asked_with(edge, known.key, "/none")).status == 404
    # Whether it is a key can't be told; that it is none would be a lie to somebody who has just got one.
    assert (await asked_with(edge, stranger, "/none")).status == 503
    monkeypatch.setattr(clients, "STALE_S", 0.0)
    assert (await asked_with(edge, known.key, "/none")).status == 503
    monkeypatch.undo()
    proxy.mend()

    async def is_back() -> bool:
        return (await asked_with(edge, unknown.key, "/none")).status == 404

    await eventually(is_back, timeout_s=15)


async def test_a_request_with_a_key_costs_no_query(start_edge: StartEdge, ledger_url: str, proxy: Proxy) -> None:
    made = await make_key(ledger_url, "ann", Scope.ORDERS)
    edge = await start_edge(database_url=proxy.url(ledger_url))
    assert (await asked_with(edge, made.key, "/none")).status == 404
    proxy.swallow()

    began_s = time.monotonic()
    replies = [(await asked_with(edge, made.key, "/none")).status for _ in range(20)]

    assert replies == [404] * 20
    assert time.monotonic() - began_s < IN_FORCE_S


async def test_failed_logins_are_slowed_down_and_right_ones_are_not(start_edge: StartEdge) -> None:
    edge = await start_edge(api_keys=f"ann={STATIC}", admin_token=TOKEN)

    for listener, path, right in ((clients_of(edge), "/orders", STATIC), (admin_of(edge), "/metrics", TOKEN)):
        replies = await asyncio.gather(*(listener.ask("GET", path, **bearing("wrong")) for _ in range(5 * FAILURES_PER_S)))

        refused = [reply for reply in replies if reply.status == 429]
        assert {reply.status for reply in replies} == {401, 429}
        assert len(replies) - len(refused) >= FAILURES_PER_S
        assert {(reply.problem, reply.headers["Retry-After"]) for reply in refused} == {("rate-limited", "1")}
        assert (await listener.ask("GET", path, **bearing(right))).status == 200


async def test_what_a_key_does_not_allow_is_slowed_down_for_its_client_alone(start_edge: StartEdge, ledger_url: str) -> None:
    ann, ben = [(await make_key(ledger_url, client, Scope.EVENTS)).key for client in ("ann", "ben")]
    edge = await start_edge(admin_token=TOKEN)

    for listener, path in ((clients_of(edge), "/orders"), (admin_of(edge), "/metrics")):
        replies = await asyncio.gather(*(listener.ask("GET", path, **bearing(ann)) for _ in range(5 * FAILURES_PER_S)))

        assert {reply.status for reply in replies} == {403, 429}
        assert (await listener.ask("GET", path, **bearing(ben))).status == 403
    assert (await clients_of(edge).ask("GET", "/events", **bearing(ann))).status == 200


async def test_nothing_that_is_stored_can_be_used_as_a_key(start_edge: StartEdge, ledger_url: str) -> None:
    made = await make_key(ledger_url, "ann", Scope.ORDERS)
    edge = await start_edge()
    secret = made.key.partition(".")[2]
    rows: list[dict[str, Any]] = [*await edge.rows("select * from api_key"), *await edge.rows("select * from operator_act")]

    assert len(rows) == 2
    assert secret not in str(rows)
    for value in (rows[0]["secret_hash"].hex(), f"{made.key_id}.{rows[0]['secret_hash'].hex()}"):
        assert (await asked_with(edge, value)).status == 401


async def test_when_a_key_was_used_is_noted_in_time_and_not_by_the_request(
    start_edge: StartEdge, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make_key(ledger_url, "ann", Scope.ORDERS)
    edge = await start_edge()
    await asked_with(edge, made.key)
    assert (await edge.rows("select last_used_at from api_key"))[0]["last_used_at"] is None
    monkeypatch.setattr(clients, "TOUCH_S", 0.5)

    async def is_noted() -> bool:
        return (await edge.rows("select last_used_at from api_key"))[0]["last_used_at"] is not None

    await eventually(is_noted, timeout_s=5)
    assert (await asked_with(edge, made.key)).status == 200


@pytest.mark.parametrize("environment", ["preview", "prod"])
async def test_outside_dev_an_edge_starts_with_keys_and_token_only(
    start_edge: StartEdge, ledger_url: str, environment: str
) -> None:
    given = {"environment": environment, "participant_secrets": "payments=of-payments"}
    with pytest.raises(EdgeError, match=r"saga keys create CLIENT .*SAGA_API_KEYS"):
        await start_edge(**given, admin_token=TOKEN)
    with pytest.raises(EdgeError, match=r"SAGA_ADMIN_TOKEN is not set"):
        await start_edge(**given, api_keys=f"ann={STATIC}")

    made = await make_key(ledger_url, "ann", Scope.ORDERS)
    edge = await start_edge(**given, admin_token=TOKEN)

    assert (await edge.get("/orders")).status == 401
    assert (await asked_with(edge, made.key)).status == 200
    assert (await admin_of(edge).ask("GET", "/metrics")).status == 401
