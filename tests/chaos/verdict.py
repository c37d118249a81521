"""The end of a run: every check of what is there now, and the count of what happened on the way."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.operations.audit import run_audit
from orchestrator.sagas import SHIPPED
from tests.chaos.auditor import Auditor, Violation
from tests.chaos.generator import Plan
from tests.chaos.history import ORDERS, check_history
from tests.chaos.races import Races, check_races
from tests.chaos.recorder import Recorder
from tests.chaos.report import Report, versions
from tests.chaos.stage import Stage
from tests.chaos.stuck import STORIES, Operator, unexplained

MEMORY_MAX_MB: Final = 400
"""Of a replica: what 300 MB of an answer would take it over, if it were read."""
OVERDUE: Final = "select order_ledger_id::text as order_id from order_ledger where due_at < clock_timestamp() - interval '60 s'"
TOMBSTONES: Final = "select count(*) as found from fence where operation = 'action' and reason = 'undone'"
TAKEOVERS: Final = """
    select count(*) filter (where kind = 'takeover') as takeovers,
        count(distinct order_ledger_id) filter (where kind = 'status' and outcome = 'STUCK') as stuck,
        count(*) as entries from ledger_journal
"""


@dataclass(frozen=True)
class Played:
    """A run that is over.

    Attributes:
        seed: Its seed.
        plans: Every order, by client and key.
        stage: What it was played on, at rest.
        recorder, operator, auditor, races: Who was at work.
        load_s: How long orders were placed.
        settle_s: How long it took to finish everything after the faults.
    """

    seed: int
    plans: Mapping[tuple[str, str], Plan]
    stage: Stage
    recorder: Recorder
    operator: Operator
    auditor: Auditor
    races: Races
    load_s: float
    settle_s: float


async def judge(played: Played) -> Report:
    """Check everything and count everything."""
    stage = played.stage
    placed = {(call.client, call.key) for call in played.recorder.calls}
    rows = await stage.ledger.ask(ORDERS)
    violations = [*played.auditor.violations, *check_history(played.recorder, played.plans, rows)]
    stories = await stage.ledger.ask(STORIES)
    nemesis = stage.nemesis
    violations += unexplained(stories, stage.bank, nemesis.disruptions, stage.fleet.asked.timeout_s)
    violations += [Violation("overdue by more than 60 s", row["order_id"]) for row in await stage.ledger.ask(OVERDUE)]
    violations += [violation async for violation in _audited(played)]
    violations += [violation async for violation in check_races(played.races, stage.ledger)]
    violations += _about_the_run(played)
    journal = (await stage.ledger.ask(TAKEOVERS))[0]
    server = (await stage.ledger.ask("select current_setting('server_version') as version"))[0]["version"]
    return Report(
        played.seed,
        len(placed) - 1,
        versions(str(server)),
        dict(sorted(Counter(row["status"] for row in rows).items())),
        await _counters(played, journal),
        {
            "What the nemesis did": nemesis.counts,
            "What became of calls to participants": stage.bank.counts,
            "What became of connections to PostgreSQL": sum((way.counts for way in stage.ways), Counter()),
            "What clients were answered": played.recorder.statuses,
            "Processes that were started": stage.fleet.counts,
        },
        _figures(played, len(placed), journal["entries"]),
        violations,
    )


async def _audited(played: Played) -> AsyncIterator[Violation]:
    """Yield what `saga audit` finds."""
    stage = played.stage
    databases = {name: url for name, url in stage.ledger.databases.items() if name != "ledger"}
    report = await run_audit(stage.ledger.databases["ledger"], stage.participants, databases, SHIPPED)
    for found in report.violations:
        order = found.row.get("order_ledger_id") or found.row.get("order_id") or _order_of(found.row.get("operation_key"))
        yield Violation(f"audit: {found.query}: {found.meaning}: {found.row}", str(order) if order else None)
    for part in report.unreachable:
        yield Violation(f"audit: {part.part} could not be audited: {part.reason}")
    if report.counts.orders_compared == 0 or report.counts.orders_compared != report.counts.orders_finished:
        yield Violation(f"audit: not every order was compared with what was done: {report.counts}")


def _about_the_run(played: Played) -> Iterator[Violation]:
    stage = played.stage
    for sentence in stage.fleet.ended:
        yield Violation(sentence)
    for request in stage.trapped:
        yield Violation(f"a redirect was followed: {request}")
    for name in played.auditor.never_ran:
        yield Violation(f"the invariant {name} was never checked while orders were at work")
    if stage.bank.counts["two answers to one operation at once"]:
        yield Violation("a participant gave two answers to one operation that came twice at once")
    if stage.fleet.memory_max_mb > MEMORY_MAX_MB:
        yield Violation(f"a replica took {stage.fleet.memory_max_mb:.0f} MB")


async def _counters(played: Played, journal: Mapping[str, int]) -> dict[str, int]:
    stage, recorder = played.stage, played.recorder
    tombstones = [(await stage.ledger.ask(TOMBSTONES, database=name))[0]["found"] for name in stage.participants]
    metric = stage.fleet.metric
    return {
        "orders taken over": journal["takeovers"],
        "leases that a replica found lost": int(metric("saga_lease_lost_total")),
        "commits whose answer was lost": sum(way.counts["commits lost"] for way in stage.ways),
        "unknown turned out done": stage.bank.counts["unknown turned out done"],
        "undone before it was done (tombstones)": sum(tombstones),
        "late actions refused by a tombstone": stage.bank.counts["late action refused"],
        "listeners that came back": stage.nemesis.counts["listeners that came back"],
        "orders found by the poll": int(metric("saga_claims_total", "poll")),
        "repeats answered as the first time": recorder.replays,
        "answers 409 while the first was on its way": sum(1 for _ in recorder.answered("order", 409)),
        "answers 422 to another order under the same key": sum(1 for _ in recorder.answered("other body", 422)),
        "orders that got stuck": journal["stuck"],
        "stuck orders ended by a retry": played.operator.counts["stuck orders retried"],
        "breakers opened": stage.fleet.logged('"event": "breaker_changed"', '"state": "open"'),
        "breakers closed after a trial": stage.fleet.logged(
            '"event": "breaker_changed"', '"before": "half_open"', '"state": "closed"'
        ),
        "expiries that beat a confirm": played.races.counts["expiries that beat a confirm"],
        "confirms that beat the expiry": played.races.counts["confirms that beat the expiry"],
        "processes that gave up starting": len(stage.fleet.gave_up),
        "failed orders placed again": played.operator.counts["failed orders placed again"],
        "restarts of PostgreSQL": stage.nemesis.counts["restarts of PostgreSQL"],
        "frozen replicas woken": stage.nemesis.counts["zombies woken"],
        "unknown attempts": int(metric("saga_step_attempts_total", "unknown")),
    }


def _figures(played: Played, placed: int, entries: int) -> dict[str, str]:
    return {
        "orders were placed in": f"{played.load_s:.0f} s, {placed / played.load_s:.1f} a second",
        "everything was finished after the faults stopped in": f"{played.settle_s:.1f} s",
        "calls of clients": f"{len(played.recorder.calls):,}",
        "journal entries": f"{entries:,}",
        "invariants checked while orders were at work": f"{played.auditor.runs:,} times",
        "longest pause between two checks of one invariant": f"{played.auditor.longest_pause_s:.1f} s",
        "lease": f"{played.stage.fleet.asked.lease_s:g} s",
        "largest replica": f"{played.stage.fleet.memory_max_mb:.0f} MB",
    }


def _order_of(operation_key: object) -> str | None:
    return operation_key.partition(":")[0] if isinstance(operation_key, str) else None
