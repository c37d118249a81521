"""One chaos run: orders, harm and an audit at once; then the harm stops, everything has to end, and all is counted.

::

    python -m tests.chaos.run --seed 7 --orders 10000 --report chaos.md
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from orchestrator.definitions import Definitions
from orchestrator.sagas import SHIPPED
from orchestrator.settings import Settings
from tests.chaos import direct
from tests.chaos.auditor import Auditor
from tests.chaos.clients import Clients
from tests.chaos.direct import AWAY
from tests.chaos.evidence import show_evidence
from tests.chaos.faults import Odds
from tests.chaos.fleet import SCALED, FleetPlan
from tests.chaos.generator import Generator
from tests.chaos.load import place_beside_schedule, place_beside_script, place_unannounced
from tests.chaos.races import Races
from tests.chaos.recorder import Recorder
from tests.chaos.report import Report
from tests.chaos.schedule import Deed, schedule
from tests.chaos.stage import Stage, open_stage, stock_up
from tests.chaos.stuck import Operator
from tests.chaos.verdict import Played, judge

SETTLE_S: Final = 60.0
"""After the faults everything has to be finished within this."""
STUCK_RETRIES: Final = 2
"""Of one order, while there is harm; afterwards it is retried until it ends."""
ACTS_SHOWN: Final = 2_000


@dataclass(frozen=True)
class ChaosPlan:
    """What a run consists of.

    Attributes:
        seed: Everything that is chosen follows from it.
        orders: How many.
        rounds: The nemesis does these deeds once each, those of a round at once; none: a schedule without end.
        replicas, edges: How many run.
        odds: How much goes wrong with calls.
        haste: Factor of the waits that clients have in mind.
        attempts: Of a step.
        lease_s: Of a claim; what else is timed follows from it.
        most_s: Seconds after which a schedule without end is broken off, with the orders that were placed by then.
    """

    seed: int
    orders: int
    rounds: tuple[tuple[Deed, ...], ...] = ()
    replicas: int = 3
    edges: int = 2
    odds: Odds = field(default_factory=Odds)
    haste: float = 1.0
    attempts: int = 5
    lease_s: float = 3.0
    most_s: float = 3600.0

    @property
    def fleet(self) -> FleetPlan:
        """What the fleet consists of."""
        return FleetPlan(self.replicas, self.edges, self.lease_s, {**SCALED, "SAGA_RETRY_ATTEMPTS": str(self.attempts)})

    @property
    def definitions(self) -> Definitions:
        """The definitions with the settings that the fleet has."""
        fields: dict[str, Any] = {n.removeprefix("SAGA_").lower(): value for n, value in self.fleet.settings.items()}
        return Definitions(SHIPPED, Settings(**{n: value for n, value in fields.items() if n in Settings.model_fields}))


async def run_chaos(plan: ChaosPlan, folder: Path, say: Callable[[str], None]) -> Report:
    """Play a run and judge it; whatever was started has ended when this returns.

    Args:
        plan: What to play.
        folder: For data, logs and records; must exist.
        say: Given a line for each thing worth telling.
    """
    generator, recorder = Generator(plan.seed, plan.orders), Recorder(folder / "calls.jsonl")
    async with (
        open_stage(folder, plan.seed, plan.odds, plan.fleet, say) as stage,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session,
    ):
        await stock_up(stage, generator)
        clients = Clients(session, lambda: stage.fleet.edge_urls, recorder, plan.seed, plan.haste)
        silent = Clients(session, lambda: [stage.fleet.silent_edge_url], recorder, plan.seed, plan.haste)
        operator, auditor = Operator(stage.ledger, plan.definitions), Auditor(stage.ledger)
        orders = [await place_unannounced(stage, silent), *generator.plans()]
        races = Races(stage.session, stage.participants, plan.seed)
        say("the stage stands, and an order that nobody announced was found; now the harm begins")
        began_s = time.monotonic()
        async with _meanwhile(_supervise(stage), _look(stage), auditor.run(), say=say):
            async with _meanwhile(_operate(operator), races.run(), say=say):
                if plan.rounds:
                    await place_beside_script(stage, plan.seed, clients, orders[1:], plan.rounds, operator)
                else:
                    await place_beside_schedule(stage, plan.seed, clients, orders[1:], plan.most_s, say)
            calm_s = time.monotonic()
            say(f"the harm has ended after {calm_s - began_s:.0f} s")
            await stage.fleet.ready(stage.session)
            await clients.finish()
            settled = await _settle(stage, operator)
            settled_s = time.monotonic()
            await asyncio.gather(*(proxy.idle() for proxy in stage.proxies.values()))
        say(f"everything is finished {settled_s - calm_s:.1f} s later" if settled else "NOT everything is finished")
        recorder.close()
        plans = {(order.client, order.key): order for order in orders}
        played = Played(plan.seed, plans, stage, recorder, operator, auditor, races, calm_s - began_s, settled_s - calm_s)
        report = await judge(played)
        if not report.good:
            await show_evidence(stage, report, say)
        return report


async def _settle(stage: Stage, operator: Operator) -> bool:
    """Retry what is stuck until everything is finished; False when it is not in time."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        with suppress(*AWAY):
            stuck = await operator.retry_stuck()
            if not stuck and not (await stage.ledger.ask(direct.UNFINISHED))[0]["orders"]:
                return True
        await asyncio.sleep(0.1)
    return False


async def _supervise(stage: Stage) -> None:
    """Start again what has ended, as every supervisor of processes does."""
    while True:
        stage.fleet.revive()
        await asyncio.sleep(0.1)


async def _look(stage: Stage) -> None:
    while True:
        await stage.fleet.look(stage.session)
        await asyncio.sleep(1.0 - time.time() % 1.0)


async def _operate(operator: Operator) -> None:
    """Retry now and then, in the midst of the harm."""
    dice = random.Random("operator")
    while True:
        with suppress(*AWAY):
            await operator.retry_stuck(STUCK_RETRIES)
            await operator.retry_failed(1)
        await asyncio.sleep(dice.uniform(0.5, 3.0))


@asynccontextmanager
async def _meanwhile(*works: Coroutine[Any, Any, None], say: Callable[[str], None]) -> AsyncIterator[None]:
    """Run works beside what the context does; one that failed fails the run when the context is left."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            say(f"the run itself failed: {error!r}")
            raise error


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a run from the command line; 0 when it was good."""
    parser = argparse.ArgumentParser(description="Orders, harm and an audit at once.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--report", type=Path, help="file for the page about the run")
    parser.add_argument("--minutes", type=float, default=60.0, help="no further orders are placed after this")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix=f"saga-chaos-{given.seed}-"))
    began_s = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began_s:7.1f}  {line}", flush=True)

    say(f"seed {given.seed}, {given.orders} orders, in {folder}")
    (folder / "schedule.txt").write_text("\n".join(map(str, islice(schedule(given.seed), ACTS_SHOWN))), encoding="utf-8")
    report = uvloop.run(run_chaos(ChaosPlan(given.seed, given.orders, most_s=given.minutes * 60), folder, say))
    page = report.markdown()
    print(page)
    if given.report:
        given.report.write_text(page, encoding="utf-8")
    if report.good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"seed {given.seed}: data, logs, calls and the schedule are kept in {folder}", file=sys.stderr)
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
