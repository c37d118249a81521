"""The log of effects is read whole, in order, and nobody changes it."""

import asyncio

import psycopg
import pytest

from tests.integration.participants.service import Participant

INSERT = "insert into effect (operation_key, order_id, kind, amounts) values ('k', 'o', 'test', '{\"a\": 1}')"


async def fill(participant: Participant, count: int) -> None:
    async with await participant.connect() as connection:
        for _ in range(count):
            await connection.execute(INSERT)


async def test_pages_join_without_gap_or_overlap(shipping: Participant) -> None:
    await fill(shipping, 25)

    seen, after = [], 0
    while after is not None:
        page = await shipping.get(f"/effects?after={after}&limit=10")
        seen += [effect["seq"] for effect in page.json["effects"]]
        after = page.json["next_after"]

    assert seen == list(range(1, 26))


async def test_the_last_full_page_has_no_next(shipping: Participant) -> None:
    await fill(shipping, 10)

    assert (await shipping.get("/effects?limit=10")).json["next_after"] is None


async def test_a_row_committed_late_is_not_passed_by(shipping: Participant) -> None:
    async with await shipping.connect() as late:
        await late.execute(INSERT)  # takes position 1 and keeps it uncommitted
        await fill(shipping, 1)  # position 2 is committed
        reading = asyncio.create_task(shipping.get("/effects"))
        done, _ = await asyncio.wait([reading], timeout=0.3)
        assert not done, "the page must wait for position 1"

    assert [effect["seq"] for effect in (await reading).json["effects"]] == [1, 2]


async def test_a_writer_that_comes_later_is_not_waited_for(shipping: Participant) -> None:
    await fill(shipping, 1)
    async with await shipping.connect() as first:
        await first.execute(INSERT)
        reading = asyncio.create_task(shipping.get("/effects"))
        await asyncio.wait([reading], timeout=0.2)
        async with await shipping.connect() as second:
            await second.execute(INSERT)
            await first.commit()
            page = (await reading).json

    assert [effect["seq"] for effect in page["effects"]] == [1, 2]


async def test_a_writer_that_never_ends_is_told(shipping: Participant) -> None:
    async with await shipping.connect() as stuck:
        await stuck.execute(INSERT)

        refused = await shipping.get("/effects")

    assert (refused.status, refused.problem) == (503, "unsettled")
    assert refused.headers["Retry-After"] == "1"


async def test_effects_of_one_order(shipping: Participant) -> None:
    await shipping.post("/shipments", {"shipment_id": "s1", "order_id": "o1"})
    await shipping.post("/shipments", {"shipment_id": "s2", "order_id": "o2"})

    assert [effect["order_id"] for effect in await shipping.effects("o2")] == ["o2"]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", f"after={2**63}", "oder_id=1"])
async def test_a_wrong_query_is_refused(shipping: Participant, query: str) -> None:
    refused = await shipping.get(f"/effects?{query}")

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/" + query.partition("=")[0])


@pytest.mark.parametrize("change", ["update effect set kind = 'x'", "delete from effect", "truncate effect"])
async def test_the_log_is_append_only(shipping: Participant, change: str) -> None:
    await fill(shipping, 1)

    with pytest.raises(psycopg.errors.RestrictViolation):
        await shipping.rows(change)
