"""A deployment without a superuser: roles made beforehand, and a user of its own for each process, as `sql/roles.sql` says."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sql import auditing, ledger, migrate, retention
from sql.connect import open_pool
from sql.migrate import MigrationError
from tests.integration.roles.two_clients import fill, kept
from tests.servers import Server, servers

ROLES_SQL = Path(migrate.__file__).parent / "roles.sql"
USERS = {
    "shop_edge": "sagaledger_edge",
    "shop_orchestrator": "sagaledger_orchestrator",
    "shop_auditor": "sagaledger_auditor",
    "shop_migrations": "sagaledger_owner",
}


def as_user(server: Server, database: str, user: str) -> str:
    return psycopg.conninfo.make_conninfo(server.url(database), user=user)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with the roles, the users and an empty database that belongs to the owner's role."""
    with servers(1) as (made,):
        made.create()
        made.start()
        made.do("create role nobody login", "create database too_early owner nobody")
        with pytest.raises(MigrationError, match=r"user nobody may not make roles: .* sql/roles\.sql"):
            migrate.apply(as_user(made, "too_early", "nobody"), "ledger")
        made.do(ROLES_SQL.read_text(encoding="utf-8"))
        made.do(*(f"create role {user} login in role {role}" for user, role in USERS.items()))
        made.do("alter role shop_migrations set role = 'sagaledger_owner'", "create database shop owner sagaledger_owner")
        migrate.apply(as_user(made, "shop", "shop_migrations"), "ledger")
        yield made


async def test_each_process_works_as_its_user_and_all_belongs_to_the_owners_role(server: Server) -> None:
    async with await psycopg.AsyncConnection.connect(as_user(server, "shop", "shop_migrations"), autocommit=True) as conn:
        await fill(conn)  # retention among it: as the owner, who is no superuser
        owners = await (await conn.execute("select distinct tableowner from pg_tables where schemaname = 'public'")).fetchall()
        assert owners == [("sagaledger_owner",)]
    url = as_user(server, "shop", "shop_edge")
    async with open_pool(url, name="edge", connections_max=1, role="sagaledger_edge") as pool, pool.acting_for("A") as edge:
        assert set(await ledger.get_rows(edge, [kept("A"), kept("B")])) == {kept("A")}
    url = as_user(server, "shop", "shop_orchestrator")
    async with (
        open_pool(url, name="replica", connections_max=1, role="sagaledger_orchestrator") as pool,
        pool.connection() as orchestrator,
    ):
        assert set(await ledger.get_rows(orchestrator, [kept("A"), kept("B")])) == {kept("A"), kept("B")}
        assert await retention.purge_orders(orchestrator, older_than_days=1.0, orders_max=10) == 0


async def test_an_audit_runs_as_its_user(server: Server) -> None:
    queries = [query for query in auditing.load_audit() if query.database == "ledger"]
    async with await psycopg.AsyncConnection.connect(as_user(server, "shop", "shop_auditor"), autocommit=True) as conn:
        for query in queries:
            await auditing.run(conn, query, 10)


async def test_who_had_rights_before_there_were_roles_keeps_them(ledger_url: str) -> None:
    folder = migrate.MIGRATIONS / "ledger"
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        await conn.execute((folder / "0016.add-roles.rollback.sql").read_bytes())
        await conn.execute("drop role if exists earlier")
        await conn.execute("create role earlier login")
        await conn.execute("grant select, insert, update on all tables in schema public to earlier")
        await fill(conn)
        await conn.execute((folder / "0016.add-roles.sql").read_bytes())
        await conn.execute((folder / "0018.seal-writes.rollback.sql").read_bytes())
        await conn.execute((folder / "0018.seal-writes.sql").read_bytes())

        await conn.execute("set role earlier")
        rows = await ledger.get_rows(conn, [kept("A"), kept("B")])
        chained = await (await conn.execute("select journal_chain('', 'text')")).fetchone()
        sealed = await (await conn.execute("select journal_seal('', gen_random_uuid(), 0, now(), 'r', 1, '[]')")).fetchone()
        await conn.execute("reset role")

        assert set(rows) == {kept("A"), kept("B")}
        assert chained is not None
        assert sealed is not None
        await conn.execute("drop owned by earlier")
        await conn.execute("drop role earlier")
