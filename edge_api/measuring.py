"""What an edge measures of the ledger for graphs and alerts: unfinished orders, deliveries, and the server itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sql import measuring, reading, webhooks
from sql.models import Json
from sql.reading import Active


@dataclass(frozen=True, slots=True)
class Measured:
    """What the ledger held at one moment.

    Attributes:
        active: Unfinished orders by saga and status.
        pending, dead: Deliveries of events that wait or are on their way, and that were given up.
        database, tables: See `sql.measuring`.
    """

    active: Mapping[tuple[str, str], Active]
    pending: int
    dead: int
    database: Json
    tables: Sequence[Json]


async def measure(conn: measuring.Connection) -> Measured:
    """Measure the ledger that a connection leads to."""
    pending, dead = await webhooks.count_deliveries(conn)
    return Measured(
        await reading.count_active(conn),
        pending,
        dead,
        await measuring.measure_database(conn),
        await measuring.list_table_sizes(conn),
    )


class LedgerMetrics(Collector):
    """Shows what was measured last. While the ledger is away no number of it is shown: an old one would look like a new one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._measured: Measured | None = None
        self._seen: set[tuple[str, str]] = set()
        registry.register(self)

    def show(self, measured: Measured | None) -> None:
        """Take what is shown from now on; None for nothing, because the ledger is away."""
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        """Return the metrics, as a registry asks for them."""
        measured = self._measured
        yield _gauge("saga_ledger_reachable", "1 while the ledger answers", 1 if measured else 0)
        if measured is not None:
            yield from self._orders(measured.active)
            yield _gauge("saga_outbox_pending", "Events still to be delivered to a subscriber", measured.pending)
            yield _gauge("saga_outbox_dead", "Deliveries of events that were given up", measured.dead)
            yield from _database(measured.database)
            yield from _tables(measured.tables)

    def _orders(self, active: Mapping[tuple[str, str], Active]) -> Iterator[Metric]:
        counts = GaugeMetricFamily("saga_active", "Unfinished sagas in the ledger", labels=["saga", "status"])
        ages = GaugeMetricFamily("saga_oldest_seconds", "Age of the oldest unfinished saga", labels=["saga", "status"])
        # What was there once is shown as 0, not left out: a sum over nothing is no number in Prometheus.
        self._seen |= active.keys()
        for key in sorted(self._seen):
            of = active.get(key, Active(0, 0.0))
            counts.add_metric(key, of.orders)
            ages.add_metric(key, of.oldest_s)
        yield counts
        yield ages


def _database(row: Json) -> Iterator[Metric]:
    yield _gauge("saga_database_connections", "Sessions in the ledger's database", row["connections"])
    yield _gauge("saga_database_connections_max", "Sessions that its server admits", row["connections_max"])
    yield _gauge("saga_database_size_bytes", "Size of the ledger's database", row["size_bytes"])
    yield _gauge("saga_database_transaction_age", "Transactions since its oldest row was frozen", row["transaction_age"])
    ended = CounterMetricFamily("saga_database_transactions_total", "Transactions that ended, by how", labels=["outcome"])
    blocks = CounterMetricFamily("saga_database_blocks_total", "Blocks that were read, by from where", labels=["source"])
    for family, label, count in (
        (ended, "committed", row["committed"]),
        (ended, "rolled_back", row["rolled_back"]),
        (blocks, "cache", row["from_cache"]),
        (blocks, "disk", row["from_disk"]),
    ):
        family.add_metric([label], count)
    yield ended
    yield blocks
    yield CounterMetricFamily("saga_database_deadlocks_total", "Deadlocks that the server broke", value=row["deadlocks"])


def _tables(rows: Sequence[Json]) -> Iterator[Metric]:
    family = GaugeMetricFamily("saga_database_rows", "Estimated rows of a table: live, or dead and not yet vacuumed",
                               labels=["table", "kind"])  # fmt: skip
    for row in rows:
        for kind in ("live", "dead"):
            family.add_metric([row["table"], kind], row[kind])
    yield family


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(name, says, value=value)
