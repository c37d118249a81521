"""Who may call a participant, and what it tells those who may not."""

import asyncio
import io
from typing import Any, get_args

import orjson
import pytest
from aiohttp import web

from participants.app import create_app
from participants.errors import SettingError
from participants.main import serve
from participants.settings import NAMES, Name, load_settings
from tests.integration.participants.service import Participant, StartParticipant

SECRET = "s3cret-of-shipping"
MESSAGE = {"notification_id": "n1", "order_id": "o1", "customer_id": "17850", "template": "t"}
WRONG = [
    (),
    ("Bearer",),
    ("Bearer ",),
    (SECRET,),
    (f"Basic {SECRET}",),
    (f"Bearer {SECRET[:-1]}",),
    (f"Bearer {SECRET}x",),
    (f"Bearer {SECRET.upper()}",),
    (f"Bearer  {SECRET}",),
    (f"Bearer {SECRET}, Bearer {SECRET}",),
    (f"Bearer {SECRET}", f"Bearer {SECRET}"),
    ("Bearer \udce9",),
    ("Bearer " + "x" * 8_000,),
]


async def ask(participant: Participant, method: str, path: str, *given: str, body: bytes | None = None) -> tuple[int, bytes]:
    headers = [("Authorization", value) for value in given] + [("Idempotency-Key", "k"), ("Content-Type", "application/json")]
    data = io.BytesIO(body) if body is not None else None
    async with participant.session.request(method, participant.url + path, headers=headers, data=data) as response:
        return response.status, await response.read()


def paths(app: web.Application) -> set[tuple[str, str]]:
    """Every route of a participant, with something in place of its path's fields."""
    found = set()
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        while "{" in path:
            path = path[: path.index("{")] + "x" + path[path.index("}") + 1 :]
        found.add((route.method, path))
    return found


@pytest.mark.parametrize("name", NAMES)
async def test_every_route_but_healthz_is_closed_without_the_secret(start: StartParticipant, name: Name) -> None:
    participant = await start(name, **{f"{name}_secret": SECRET})
    routes = paths(create_app(name, load_settings(faults=True, **{f"{name}_database_url": participant.database_url})))
    assert {"/healthz", "/metrics", "/effects", "/operations/x", "/test/fail-next"} <= {path for _, path in routes}

    told = set()
    for method, path in [*routes, ("GET", "/nowhere"), ("PUT", "/healthz/")]:
        status, body = await ask(participant, method, path)
        if path == "/healthz":
            assert status == 200
        else:
            told.add((status, body or None))
            assert (await ask(participant, method, path, f"Bearer {SECRET}"))[0] != 401

    told.discard((401, None))  # to HEAD
    assert [status for status, _ in told] == [401], "one answer for all, byte for byte"


@pytest.mark.parametrize("given", WRONG, ids=repr)
async def test_a_wrong_secret_is_refused_with_one_equal_answer(start: StartParticipant, given: tuple[str, ...]) -> None:
    participant = await start("shipping", shipping_secret=SECRET)

    assert await ask(participant, "GET", "/effects", *given) == await ask(participant, "GET", "/effects", "Bearer other")
    assert (await ask(participant, "GET", "/effects"))[0] == 401
    async with participant.session.get(f"{participant.url}/effects") as response:
        assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_what_is_refused_does_nothing(start: StartParticipant) -> None:
    participant = await start("notifications", notifications_secret=SECRET)
    body = orjson.dumps(MESSAGE)

    refused = await ask(participant, "POST", "/notifications", "Bearer other", body=body)
    done = await ask(participant, "POST", "/notifications", f"bearer {SECRET}", body=body)

    assert (refused[0], done[0]) == (401, 201)


async def test_while_a_secret_is_changed_both_are_accepted(start: StartParticipant) -> None:
    participant = await start("shipping", shipping_secret="old, new")

    assert [
        (await ask(participant, "GET", "/effects", f"Bearer {secret}"))[0] for secret in ("old", "new", "old, new", "")
    ] == [
        200,
        200,
        401,
        401,
    ]


async def test_a_secret_of_another_participant_opens_nothing(start: StartParticipant) -> None:
    participant = await start("shipping", shipping_secret=SECRET, payments_secret="of-payments")

    assert (await ask(participant, "GET", "/effects", "Bearer of-payments"))[0] == 401


@pytest.mark.parametrize("name", get_args(Name))
@pytest.mark.parametrize("environment", ["preview", "prod"])
async def test_outside_dev_a_participant_does_not_start_without_a_secret(name: Name, environment: Any) -> None:
    told = rf"^{name.capitalize()} has no secret, [^\n]*: set SAGA_{name.upper()}_SECRET\.$"
    with pytest.raises(SettingError, match=told):
        await serve(
            name, load_settings(database_url="postgresql://127.0.0.1:1/x", environment=environment), stop=asyncio.Event()
        )


@pytest.mark.parametrize("secret", ["", ",", "canary,", "can ary", "cañary", "c" * 257])
async def test_a_secret_that_no_header_carries_is_told_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingError, match=r"^SAGA_ORDERS_SECRET is wrong: ") as caught:
        load_settings(orders_secret=secret).secrets_of("orders")

    assert "canary" not in str(caught.value)
    assert "canary" not in repr(load_settings(orders_secret=secret))
