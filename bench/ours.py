"""This project: its own orchestrator process, everything on, with a definition of four steps and their compensations."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql as pgsql

from bench.contestant import Contestant
from bench.job import STEPS, Place
from bench.sampling import sample_if_asked
from orchestrator import main
from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.saga import Saga, Step
from orchestrator.settings import Settings, load_settings
from participants.contracts import Answer, Endpoint, Wire
from sql import ledger, migrate
from sql.connect import Session
from sql.models import NewOrder


class Errand(Wire):
    """The saga's input."""

    customer_id: str = "bench"
    total_minor: int = 100


class Ask(Wire):
    """The body of each POST."""

    order_id: str


class Done(Answer):
    """The answer to it."""

    order_id: str


def _step(name: str) -> Step[Errand, Ask]:
    return Step(
        name=name,
        request=lambda ctx: Ask(order_id=ctx.order_id),
        action=Endpoint(name, "POST", f"/{name}", Ask, Done),
        compensation=Endpoint(name, "POST", f"/{name}/undo", Ask, Done),
    )


FOUR_STEPS: Final = Saga(name="four_steps", version=1, input=Errand, steps=tuple(_step(name) for name in STEPS))


def settings_of(place: Place, **options: Any) -> Settings:
    """Return the settings of a replica that knows the stub as every participant."""
    addresses = {f"{name}_url": place.stub_url for name in STEPS}
    return load_settings(database_url=place.database_url, **addresses, **options)


def new_order(definitions: Definitions) -> NewOrder:
    """Return a row to insert, as the edge would for a saga without a step of its own."""
    key = uuid4().hex
    request = Request(order_id("bench", key), "bench", key, b"request", Errand(), {}, key)
    return open_order(definitions.named(FOUR_STEPS.name), request).order


def prepare(url: str) -> None:
    """Migrate the ledger and register the definition."""
    migrate.apply(url, "ledger")

    async def register() -> None:
        async with await Session.connect(url) as conn:
            await Definitions([FOUR_STEPS], settings_of(Place(url, "http://127.0.0.1"))).register(conn)

    asyncio.run(register())


def enqueue(url: str, count: int) -> None:
    """Insert one saga as the edge does, and copies of its row: a hundred thousand take seconds that way."""
    with submitting(url) as submit:
        submit()
    with psycopg.connect(url, autocommit=True) as conn:
        copy_rows(conn, count - 1)
        conn.execute("analyze")


def copy_rows(
    conn: psycopg.Connection[Any],
    count: int,
    *,
    done: bool = False,
    columns: Mapping[str, LiteralString] = MappingProxyType({}),
) -> None:
    """Insert copies of the newest row, each with an id and a key of its own.

    Args:
        conn: To the ledger.
        count: How many.
        done: Whether they are completed, without the journal that led there.
        columns: Expressions for what is to differ beside; `n` is the number of the copy, from 1.
    """
    named = conn.execute(
        "select column_name from information_schema.columns where table_name = 'order_ledger' and is_generated = 'NEVER'"
    ).fetchall()
    own: dict[str, LiteralString] = {
        "order_ledger_id": "gen_random_uuid()",
        "client_request_id": "client_request_id || '-' || nextval('bench_copies')",
    }
    if done:
        own |= {"status": "'COMPLETED'", "finished_at": "clock_timestamp()"}
    own |= columns
    names = [str(row[0]) for row in named]
    conn.execute("create sequence if not exists bench_copies")
    conn.execute(
        pgsql.SQL(
            "insert into order_ledger ({columns}) select {values} from"
            " (select * from order_ledger order by created_at desc limit 1) newest cross join generate_series(1, {count}) n"
        ).format(
            columns=pgsql.SQL(", ").join(pgsql.Identifier(name) for name in names),
            values=pgsql.SQL(", ").join(pgsql.SQL(own[name]) if name in own else pgsql.Identifier(name) for name in names),
            count=pgsql.Literal(count),
        )
    )


def finished(conn: psycopg.Connection[Any]) -> int:
    """Count completed sagas."""
    row = conn.execute("select count(*) from order_ledger where status = 'COMPLETED'").fetchone()
    assert row is not None
    return int(row[0])


@contextlib.contextmanager
def submitting(url: str) -> Iterator[Callable[[], None]]:
    """Start sagas as the edge does: one statement that inserts, and a notification after its commit."""
    definitions = Definitions([FOUR_STEPS], settings_of(Place(url, "http://127.0.0.1")))
    with asyncio.Runner() as runner:
        conn = runner.run(Session.connect(url))

        async def submit() -> None:
            assert await ledger.insert_order(conn, new_order(definitions))
            await ledger.wake_orchestrators(conn)

        try:
            yield lambda: runner.run(submit())
        finally:
            runner.run(conn.close())


OURS: Final = Contestant(
    name="Sagaledger",
    module="bench.ours",
    packages=("sagaledger",),
    tuning="the orchestrator process itself with everything on: leases, fences, journal with its hash chain, validation,"
    " breaker, events, metrics; `SAGA_CONCURRENCY=400`, `SAGA_PARTICIPANT_CONCURRENCY=200` (fewer make sagas"
    " wait their turn), all else as it comes",
    prepare=prepare,
    enqueue=enqueue,
    finished=finished,
    sagas=6000,
    submitting=submitting,
    environment={"SAGA_CONCURRENCY": "400", "SAGA_PARTICIPANT_CONCURRENCY": "200"},
)


def work() -> None:
    """Run a replica of the orchestrator that knows this saga, until SIGTERM."""
    from orchestrator.logs import configure_logs

    sample_if_asked()
    settings = settings_of(Place.given())
    configure_logs(settings.log_level)
    main.run(settings, (FOUR_STEPS,))
