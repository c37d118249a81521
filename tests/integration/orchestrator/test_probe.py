"""A probe on a real ledger: what it answers decides whether an unclear step is undone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

import sql
from orchestrator.saga import Retry
from participants.contracts import probe_of
from sql.models import TERMINAL, Status
from tests.integration.orchestrator.shop import ERRAND, Behaviour, Shop, open_replica, place, status, step, until

Pool = AsyncConnectionPool[Any]
SECOND = step("second")
PROBED = replace(
    ERRAND, steps=(step("first"), replace(SECOND, probe=probe_of(SECOND.action), retry=Retry(first_s=0.01, attempts_max=2)))
)
WITHIN_BUDGET = (Path(sql.__file__).parent / "audit/ledger_attempts_within_budget.sql").read_bytes()


@pytest.mark.parametrize(
    ("answer", "ends", "undone"),
    [
        pytest.param(None, Status.COMPLETED, [], id="done"),
        pytest.param(status(409), Status.FAILED, ["/undo-first"], id="refused for ever"),
        pytest.param(status(404), Status.FAILED, ["/undo-second", "/undo-first"], id="not done by now"),
    ],
)
async def test_a_probe_settles_an_unknown_before_anything_is_undone(
    pool: Pool, ledger_url: str, shop: Shop, answer: Behaviour | None, ends: Status, undone: list[str]
) -> None:
    shop.behaviours["/second"] = [status(500), status(500)]
    async with open_replica(pool, ledger_url, shop, PROBED) as replica:
        order = await place(replica)
        key = f"/operations/{order}:second:action"
        shop.behaviours[key] = [answer or status(200, {"order_id": str(order)})]

        row = await until(pool, order, *TERMINAL)

        async with pool.connection() as conn:
            over_budget = await (await conn.execute(WITHIN_BUDGET)).fetchall()

    assert (row.status, shop.paths()) == (ends, ["/first", "/second", "/second", key, *undone])
    assert over_budget == [], "an audit allows for the probe"
