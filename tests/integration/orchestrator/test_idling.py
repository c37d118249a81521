"""A replica without work asks for work and for nothing else; its first call after that respects what was changed meanwhile."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from orchestrator import fleet
from sql.loader import Queries
from sql.models import Status
from tests.integration.orchestrator.absence import HELD, PATIENT, QUICK, Pool, away, eventually, is_parked, put
from tests.integration.orchestrator.counting import Noting, noted, open_noting
from tests.integration.orchestrator.shop import Shop, open_replica, place, until

CLAIM: Final = Queries("ledger")["claim_due"]
LOOK: Final = Queries("fleet")["list_fleet"]
POLLS: Final = 40


@pytest.fixture
async def noting(ledger_url: str) -> AsyncIterator[Pool]:
    async with open_noting(ledger_url) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is too old at once, where its age matters at all."""
    monkeypatch.setattr(fleet, "LOOK_S", 0.0)
    monkeypatch.setattr(fleet, "TICK_S", 0.001)


async def test_a_replica_without_work_does_nothing_but_poll(noting: Pool, ledger_url: str, shop: Shop, impatient: None) -> None:
    async with open_replica(noting, ledger_url, shop, poll_interval_s=0.01):
        await eventually(lambda: noted(CLAIM))
        Noting.noted.clear()
        await eventually(lambda: noted(CLAIM) >= POLLS)
        statements = list(Noting.noted)

    assert [statement for statement in statements if statement != CLAIM] == []


async def test_a_replica_at_work_sees_what_is_changed(noting: Pool, ledger_url: str, shop: Shop, impatient: None) -> None:
    second = away(shop, "/second", silent=True)
    async with open_replica(noting, ledger_url, shop, **PATIENT) as replica:
        order = await place(replica)
        await eventually(lambda: second.on_their_way)
        Noting.noted.clear()
        await eventually(lambda: noted(LOOK) >= 3)
        second.back.set()
        await until(noting, order, Status.COMPLETED)


async def test_the_first_call_after_idleness_respects_a_hold(
    noting: Pool, ledger_url: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It looks with a claim only.
    monkeypatch.setattr(fleet, "LOOK_S", 0.0)
    monkeypatch.setattr(fleet, "TICK_S", 60.0)
    async with open_replica(noting, ledger_url, shop, **QUICK) as replica:
        await eventually(lambda: noted(CLAIM))
        await put(noting, HELD)
        order = await place(replica)
        await eventually(lambda: is_parked(noting, order))

    assert shop.calls == []
