"""What operators see of one order, and of definitions, over HTTP on a real edge."""

from typing import Any
from uuid import uuid4

import pytest

from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge

BY = {"actor": "ann", "reason": "looked into it"}
VERBS: dict[str, dict[str, str]] = {
    "retry": {}, "cancel": {}, "pause": {}, "resume": {}, "skip-step": {}, "resolve": {"as": "failed"},
}  # fmt: skip


@pytest.fixture
async def edge(start_edge: StartEdge, payments: Scripted) -> Edge:
    return await start_edge(payments_url=payments.url)


async def admin(edge: Edge, method: str, path: str, body: Any = None) -> Reply:
    async with edge.session.request(method, f"{edge.admin_url}/admin/{path}", json=body) as response:
        return Reply(response.status, await response.read(), dict(response.headers))


async def shown(edge: Edge, order: str) -> Any:
    reply = await admin(edge, "GET", f"orders/{order}")
    assert reply.status == 200, reply.body
    return reply.json


async def test_an_order_is_shown_with_its_course_its_journal_and_what_may_be_done(edge: Edge) -> None:
    order = (await edge.place(metadata={"channel": "<script>"})).id

    found, seen = await shown(edge, order), (await edge.get(f"/orders/{order}")).json

    assert {name: found[name] for name in seen if name != "links"} == {name: seen[name] for name in seen if name != "links"}
    assert found["journal"] == (await edge.get(f"/orders/{order}/journal")).json["entries"]
    assert found["client_id"] == "default"
    lanes = {lane["step"]: lane["bars"] for lane in found["timeline"]["lanes"]}
    assert list(lanes) == [step["name"] for step in found["steps"]]
    (authorized,) = lanes["authorize_payment"]
    assert (authorized["kind"], authorized["direction"], authorized["outcome"]) == ("attempt", "action", "succeeded")
    assert [phase["name"] for phase in found["timeline"]["statuses"]] == ["RECEIVED", "PENDING"]
    assert found["age_s"] >= 0


async def test_statements_to_be_asked_by_hand_can_be_asked(edge: Edge) -> None:
    order = (await edge.place()).id

    statements = (await shown(edge, order))["statements"]

    for statement in statements:
        assert f"'{order}'" in statement["sql"]
        assert await edge.rows(statement["sql"]), statement["says"]
    assert len({statement["says"] for statement in statements}) == 4


STATES = {
    "PENDING": "",
    "on hold": "paused_at = now(), progress = progress || '{\"paused\": true}'",
    "STUCK": "status = 'STUCK', progress = progress || '{\"stuck\": \"nobody knows\"}'",
    "FAILED": "status = 'FAILED', finished_at = now(), progress = progress || '{\"ending\": \"FAILED\"}'",
    "DECLINED": "status = 'DECLINED', finished_at = now(), progress = progress || '{\"ending\": \"DECLINED\"}'",
    "COMPLETED": "status = 'COMPLETED', finished_at = now(), progress = progress || '{\"ending\": \"COMPLETED\"}'",
    "its call is on its way": 'progress = progress || \'{"on_its_way": ["create_order"]}\'',
}


# What stands so already is not refused, and is nothing to offer.
IDLE = {("resume", "PENDING"), ("resume", "its call is on its way"), ("pause", "on hold"), ("resolve", "FAILED")}


async def test_verbs_are_offered_that_are_not_refused(edge: Edge) -> None:
    offered, taken = {}, {}
    for state, change in STATES.items():
        order = (await edge.place()).id
        if change:
            await edge.rows(f"update order_ledger set {change} where order_ledger_id = '{order}'")
        offered[state] = sorted(offer["verb"] for offer in (await shown(edge, order))["verbs"])
        taken[state] = []
        for verb, more in sorted(VERBS.items()):
            told = await admin(edge, "POST", f"orders/{order}/{verb}", {**BY, **more, "dry_run": True})
            assert told.status in (200, 409), told.body
            if told.status == 200 and (verb, state) not in IDLE:
                taken[state].append(verb)

    assert offered == taken
    assert offered["DECLINED"] == []


async def test_a_step_to_be_skipped_is_named(edge: Edge) -> None:
    order = (await edge.place()).id

    (skip,) = [offer for offer in (await shown(edge, order))["verbs"] if offer["verb"] == "skip-step"]

    assert skip["steps"] == ["create_order"]


async def test_an_order_of_code_that_is_not_here_is_shown_without_verbs(edge: Edge) -> None:
    order = (await edge.place()).id
    await edge.rows(
        "insert into saga_definition (definition_id, saga, version, hash, fingerprint, body)"
        " select gen_random_uuid(), saga, 99, '\\x01', 'gone', body || '{\"fingerprint\": \"gone\"}'"
        " from saga_definition limit 1"
    )
    await edge.rows(
        "update order_ledger set definition_id = (select definition_id from saga_definition where version = 99)"
        f" where order_ledger_id = '{order}'"
    )

    found = await shown(edge, order)
    listed = (await admin(edge, "GET", "definitions")).json["definitions"]

    assert (found["verbs"], found["timeline"]["lanes"] != []) == ([], True)
    gone = [version for each in listed for version in each["versions"] if version["version"] == 99]
    assert [(version["runs_here"], version["unfinished"]) for version in gone] == [(False, 1)]


async def test_an_order_that_is_not_there_is_not_found(edge: Edge) -> None:
    for order in (str(uuid4()), "nothing", "%00"):
        reply = await admin(edge, "GET", f"orders/{order}")

        assert (reply.status, reply.problem) == (404, "order-not-found")


async def test_definitions_are_listed_with_the_orders_that_are_on_them(edge: Edge) -> None:
    await edge.place()

    listed = (await admin(edge, "GET", "definitions")).json["definitions"]

    assert [each["saga"] for each in listed] == sorted(each["saga"] for each in listed)
    by_name = {each["saga"]: each for each in listed}
    (version,) = by_name["place_order"]["versions"]
    assert (version["runs_here"], version["unfinished"]) == (True, 1)
    assert "confirm_order" in version["steps"]
    assert by_name["cancel_order"]["startable"] is False


async def test_a_definition_is_described_and_drawn(edge: Edge) -> None:
    found = (await admin(edge, "GET", "definitions/place_order")).json

    assert [step["name"] for step in found["runs"]["steps"]] == [
        step for unit in found["graph"]["units"] for step in unit["steps"]
    ]
    assert {"source": "confirm_order", "target": "COMPLETED", "why": "done"} in found["graph"]["arrows"]
    for name in ("nothing", "%00", "<b>"):
        reply = await admin(edge, "GET", f"definitions/{name}")
        assert (reply.status, reply.problem) == (404, "not-found")


async def test_a_definition_that_the_ledger_alone_knows_has_no_drawing(edge: Edge) -> None:
    await edge.rows(
        "insert into saga_definition (definition_id, saga, version, hash, fingerprint, body)"
        " select gen_random_uuid(), 'of_old', 1, '\\x01', 'gone', body from saga_definition limit 1"
    )

    found = (await admin(edge, "GET", "definitions/of_old")).json

    assert (found["runs"], found["graph"], found["description"]) == (None, None, None)
    assert [version["runs_here"] for version in found["versions"]] == [False]
