"""The second wall between clients: other clients' rows do not exist for the edge, whatever a statement says."""

from typing import Any, LiteralString

import psycopg
import pytest

from sql import events, ledger, reading
from sql.connect import ALL_CLIENTS, Pool, open_pool
from tests.integration.roles.conftest import As
from tests.integration.roles.two_clients import CLIENTS, OF_CLIENTS, kept, new_order

EDGE = "sagaledger_edge"
CLIENT_OF: dict[str, LiteralString] = {
    "order_ledger": "client_id",
    "purged_order": "client_id",
    "outbox": "(select client_id from order_ledger where order_ledger_id = aggregateid)",
}
OF_ITS_ORDER: LiteralString = "(select l.client_id from order_ledger l where l.order_ledger_id = t.order_ledger_id)"


async def seen(conn: Any, table: str) -> list[str]:
    """Return whose rows of a table a session sees, a client for each row."""
    query = f"select {CLIENT_OF.get(table, OF_ITS_ORDER)} from {table} t"
    return sorted(str(client) for (client,) in await (await conn.execute(query)).fetchall())


async def in_turn(pool: Pool, table: str, client: str) -> list[str]:
    async with pool.acting_for(client) as conn:
        return await seen(conn, table)


@pytest.mark.parametrize("table", OF_CLIENTS)
async def test_the_edge_sees_the_rows_of_the_client_that_it_acts_for(table: str, acting_as: As) -> None:
    async with acting_as(EDGE) as pool:
        everybodys = await in_turn(pool, table, ALL_CLIENTS)
        assert set(everybodys) == set(CLIENTS)
        for client in CLIENTS if table != "event_delivery" else ():
            assert set(await in_turn(pool, table, client)) == {client}
        if table == "event_delivery":
            assert [await in_turn(pool, table, client) for client in CLIENTS] == [[], []], "only operators are shown deliveries"
        for nobody in ("", "C"):
            assert await in_turn(pool, table, nobody) == []


@pytest.mark.parametrize("table", OF_CLIENTS)
async def test_the_edge_sees_nothing_where_it_names_nobody(table: str, acting_as: As) -> None:
    async with acting_as(EDGE) as pool, pool.connection() as conn:
        assert await (await conn.execute(f"select count(*) from {table}")).fetchall() == [(0,)]


@pytest.mark.parametrize("role", ["sagaledger_orchestrator", "sagaledger_operator", "sagaledger_auditor"])
async def test_others_see_the_rows_of_all(role: str, acting_as: As) -> None:
    async with acting_as(role) as pool, pool.connection() as conn:
        for table in set(OF_CLIENTS) - ({"order_personal"} if role == "sagaledger_auditor" else set()):
            assert set(await seen(conn, table)) == set(CLIENTS), table


async def test_a_session_forgets_for_whom_it_acted(acting_as: As) -> None:
    async with acting_as(EDGE) as pool:
        for _ in range(20):  # until every statement is prepared, and its plan kept
            for client in CLIENTS:
                assert await in_turn(pool, "order_ledger", client) == [client]
        async with pool.acting_for("A") as conn, conn.transaction():
            assert await seen(conn, "ledger_journal") == ["A"]
        async with pool.connection() as conn:
            assert await seen(conn, "order_ledger") == []


async def test_a_statement_that_asks_for_every_clients_orders_shows_ones_own(acting_as: As) -> None:
    async with acting_as(EDGE) as pool, pool.acting_for("A") as conn:
        assert [row["client_id"] for row in await reading.list_orders(conn, client_id=None, limit=10)] == ["A"]
        assert await reading.get_order(conn, kept("B"), None) is None
        assert await reading.get_journal(conn, kept("B"), None) is None
        assert await ledger.get_rows(conn, [kept("A"), kept("B")]) == await ledger.get_rows(conn, [kept("A")])
        assert await ledger.get_request(conn, kept("B")) is None
        assert await ledger.find_repeat(conn, kept("B")) is None
        assert await ledger.list_finished(conn, [kept("B")]) == set()
        page = await events.read_feed(conn, None, limit=10, client_id=None)
        assert {event.client_id for event in page.events} <= {"A"}

        assert await reading.get_order(conn, kept("A"), None) is not None
        assert await ledger.find_repeat(conn, kept("A")) is not None


async def test_nobody_writes_into_another_clients_order(acting_as: As) -> None:
    async with acting_as(EDGE) as pool:
        async with pool.acting_for("A") as conn:
            changed = await conn.execute("update order_ledger set status = 'STUCK' where client_id = 'B'")
            assert changed.rowcount == 0
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                await ledger.insert_order(conn, new_order("B", "forged"))
            assert await ledger.insert_order(conn, new_order("A", "own"))
        async with pool.connection() as conn:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                await ledger.insert_order(conn, new_order("A", "unnamed"))


async def test_a_user_of_ones_own_with_the_edges_role_is_bound_like_it(shared_ledger: str) -> None:
    user = f"shop_edge_{shared_ledger.partition('?')[0].rpartition('_')[2]}"
    with psycopg.connect(shared_ledger, autocommit=True) as owner:
        owner.execute(f"create role {user} login in role sagaledger_edge")
    try:
        url = psycopg.conninfo.make_conninfo(shared_ledger, user=user)
        async with open_pool(url, name="tests", connections_max=1, role=EDGE) as pool, pool.acting_for("A") as conn:
            assert conn.walled
            assert await seen(conn, "order_ledger") == ["A"]
    finally:
        with psycopg.connect(shared_ledger, autocommit=True) as owner:
            owner.execute(f"drop role {user}")


async def test_the_tables_owner_is_bound_by_no_policy(shared_ledger: str) -> None:
    async with open_pool(shared_ledger, name="tests", connections_max=1) as pool, pool.acting_for("A") as conn:
        assert not conn.walled
        assert await seen(conn, "order_ledger") == ["A", "B"]
