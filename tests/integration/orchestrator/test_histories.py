"""Journals that real replicas wrote are replayed through the core: every decision is found again."""

import json
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator.retrace import retrace
from sql.histories import History
from tests.integration.orchestrator.histories import HISTORIES
from tests.integration.orchestrator.past import Past, history_of
from tests.integration.orchestrator.shop import Shop

Pool = AsyncConnectionPool[Any]


@pytest.mark.parametrize("name", HISTORIES)
async def test_every_kind_of_history_is_found_again(pool: Pool, ledger_url: str, shop: Shop, name: str) -> None:
    order = await HISTORIES[name](Past(pool, ledger_url, shop))

    history = await history_of(pool, order)

    assert retrace(history) == ()
    assert History.from_json(json.loads(json.dumps(history.to_json()))) == history
