"""An upgrade and the way back, as the document says, while customers go on ordering: nothing is refused, lost or done twice.

The next release is a copy of this one with one migration more and another name in its answers, so that both can be told apart.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psycopg
import pytest

from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import Answer, Shop, eventually
from tests.documents import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]
PARTS = ("cli.py", "sql", "edge_api", "orchestrator", "participants")
MIGRATION = "9000.grow"
GROW = "alter table order_ledger add column of_the_next_release text;"
NAME = ('response.headers[hdrs.SERVER] = "sagaledger"', 'response.headers[hdrs.SERVER] = "the next"')
PAUSE_S = 0.05
PLACED_MIN = 15
"""Orders of each phase, at least: of both releases alone and side by side."""


@pytest.fixture
def next_release(tmp_path: Path, stack: Stack) -> Iterator[Path]:
    """The folder of a release that comes after this one; what it adds to the ledger is taken away in the end."""
    folder = tmp_path / "next"
    folder.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    migrations = folder / "sql" / "migrations" / "ledger"
    newest = max(path.stem for path in migrations.glob("*.sql") if not path.stem.endswith(".rollback"))
    (migrations / f"{MIGRATION}.sql").write_text(f"-- depends: {newest}\n\n{GROW}\n")
    module = folder / "edge_api" / "middlewares.py"
    text = module.read_text()
    assert NAME[0] in text
    module.write_text(text.replace(*NAME))
    yield folder
    with psycopg.connect(stack.databases["ledger"], autocommit=True) as conn:
        conn.execute("alter table order_ledger drop column if exists of_the_next_release")
        conn.execute("delete from _yoyo_migration where migration_id = %s", (MIGRATION,))


class Customers:
    """Order without a pause, at whichever edge answers, as behind a load balancer.

    Attributes:
        placed: Their orders, in order.
        served_by: How many answers came from each release.
    """

    def __init__(self, shop: Shop) -> None:
        self.placed: list[str] = []
        self.served_by: Counter[str] = Counter()
        self._shop = shop

    async def order(self) -> None:
        while True:
            answer = await self._at_any_edge(f"upgrade-{len(self.placed)}")
            assert answer.status == 202, answer
            self.served_by[answer.headers["Server"]] += 1
            self.placed.append(answer.order)
            await asyncio.sleep(PAUSE_S)

    async def have_ordered(self, more: int = PLACED_MIN) -> None:
        """Return once so many more orders are placed."""
        wanted = len(self.placed) + more

        def look() -> None:
            assert len(self.placed) >= wanted

        await eventually(look, 60)

    async def _at_any_edge(self, key: str) -> Answer:
        """Send a request to the edges in turn until one is there: its key is the same at each."""
        async with asyncio.timeout(30):
            while True:
                for number in range(len(self._shop.stack.edges)):
                    try:
                        return await self._shop.post(key, edge=number)
                    except (aiohttp.ClientError, IndexError):
                        continue
                await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def ordering(shop: Shop) -> AsyncIterator[Customers]:
    """Have customers order until the context is left."""
    customers = Customers(shop)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(customers.order())
        yield customers
        task.cancel()


async def roll(stack: Stack, **settings: str) -> None:
    """Replace orchestrators and then edges, each by one with these settings before the old one is stopped."""
    for old in list(stack.replicas):
        await asyncio.to_thread(stack.add_replicas, 1, **settings)
        assert await asyncio.to_thread(old.stop) == 0
        stack.replicas.remove(old)
    for old in list(stack.edges):
        stack.edges.append(await asyncio.to_thread(stack.add_edge, None, **settings))
        stack.edges.remove(old)
        assert await asyncio.to_thread(old.stop) == 0


async def test_orders_go_on_while_a_release_takes_the_place_of_another_and_back(
    shop: Shop, stack: Stack, next_release: Path
) -> None:
    of_the_next = {"PYTHONPATH": str(next_release)}

    async def migrate(*more: str) -> str:
        done = await asyncio.to_thread(stack.saga, "migrate", *more, **of_the_next)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async with ordering(shop) as customers:
        await customers.have_ordered()
        assert MIGRATION in await migrate("--dry-run")
        await migrate()
        # The release before goes on working on the new schema.
        await customers.have_ordered()
        assert customers.served_by.keys() == {"sagaledger"}
        await roll(stack, **of_the_next)
        await customers.have_ordered()
        assert customers.served_by["the next"] >= PLACED_MIN
        before = customers.served_by["sagaledger"]
        await roll(stack)
        await customers.have_ordered()
        assert customers.served_by["sagaledger"] >= before + PLACED_MIN

    for order in customers.placed:
        assert (await shop.ends(order, 60))["status"] == "COMPLETED"
        await shop.effects(order)  # each operation once, under its own key
    assert len(set(customers.placed)) == len(customers.placed)
