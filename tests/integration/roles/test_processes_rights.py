"""Processes take their roles by themselves where their user may, and use the addresses that are theirs."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from participants.database import open_pool, transaction
from tests.acceptance.commands import assert_told, saga

PARTS = ("edge", "orchestrator")


@pytest.mark.acceptance
@pytest.mark.parametrize("part", PARTS)
def test_a_superusers_process_has_the_rights_of_its_role_alone(part: str, ledger_url: str, tmp_path: Path) -> None:
    with psycopg.connect(ledger_url) as conn:
        conn.execute(f"revoke select on saga_definition from sagaledger_{part}".encode())

    refused = saga(part, cwd=tmp_path, SAGA_DATABASE_URL=ledger_url, SAGA_PORT="0", SAGA_ADMIN_PORT="0")

    assert_told(refused, 1, "lacks rights on the ledger", "permission denied for table saga_definition")


@pytest.mark.acceptance
@pytest.mark.parametrize("part", PARTS)
def test_a_process_connects_with_the_address_that_is_its_own(part: str, ledger_url: str, tmp_path: Path) -> None:
    with psycopg.connect(ledger_url, autocommit=True) as conn:
        conn.execute("drop role if exists rightless")
        conn.execute("create role rightless login")
    own = {f"SAGA_{part.upper()}_DATABASE_URL": psycopg.conninfo.make_conninfo(ledger_url, user="rightless")}

    refused = saga(part, cwd=tmp_path, SAGA_DATABASE_URL=ledger_url, SAGA_PORT="0", SAGA_ADMIN_PORT="0", **own)

    assert_told(refused, 1, "lacks rights on the ledger", "permission denied for table")


async def test_a_superusers_participant_has_the_rights_of_its_role_alone(participant_database: Callable[[str], str]) -> None:
    url = participant_database("orders")
    async with open_pool(url, "orders", 1) as pool:
        async with transaction(pool) as conn:
            assert await (await conn.execute("select current_user")).fetchone() == ("sagaledger_orders",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with transaction(pool) as conn:
                await conn.execute("delete from shop_order")
