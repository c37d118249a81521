"""The replica in memory is the real one: the real `Runner` is put in its place, and every schedule goes the same way.

The runner's coroutine is driven by hand: it stops where it writes and where it calls, and the world goes on from there.
"""

from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from msgspec import structs
from structlog.testing import capture_logs

from orchestrator.fleet import Parked, Pass
from orchestrator.hold import Hold
from orchestrator.metrics import Metrics
from orchestrator.outcome import Outcome
from orchestrator.prepared import Prepared
from orchestrator.progress import Call
from orchestrator.runner import Runner
from orchestrator.saga import Saga
from orchestrator.writer import Superseded, Written
from participants.contracts import OperationRef
from sql.ledger import ClaimLost
from sql.models import Claim, Direction, SagaRow, Transition
from tests.simulation.core import LAPSES_MAX, OUTCOMES, PARKED, TRIAL, Seen
from tests.simulation.ledger import LEASE_S
from tests.simulation.phases import Phase
from tests.simulation.profiles import PROFILES
from tests.simulation.replica import Replica
from tests.simulation.scheduler import run
from tests.simulation.world import Planted, World

LEFT_OUT = {"poison", "deaths"}
"""Faults that strike between any two lines of code: what is given to the runner can't make it do that."""
SEEDS = [seed for seed in range(1, 1_000) if not LEFT_OUT & set(PROFILES[seed % len(PROFILES)].groups)]
METRICS = Metrics()


@dataclass
class Asked:
    """What a runner waits for: that a transition is written, or a call answered."""

    transition: Transition | None = None
    call: Call | None = None

    def __await__(self) -> Generator["Asked", Any, Any]:
        return (yield self)


class Around:
    """All that a runner is given, answered by the world: writer, caller, fleet, definitions and pool."""

    def __init__(self, replica: "RealReplica", world: World) -> None:
        self._replica, self._world = replica, world

    async def write(self, transition: Transition, back: object = None) -> Any:
        return await Asked(transition=transition)

    async def call(self, prepared: Prepared, *_: Any) -> Outcome:
        _, step, direction = prepared.key.rsplit(":", 2)
        probe = prepared.endpoint.request is OperationRef
        answer: Outcome = await Asked(call=Call(step, Direction(direction), self._replica.attempt_of(step), probe))
        return answer

    def known(self, _: Any) -> Saga[Any]:
        return saga_of(self._world)

    async def back(self, _: Pass) -> None:
        """Nothing is kept of it."""

    def leave_at_once(self, _: str) -> None:
        """Has to be asked for."""

    async def leave_for(self, *_: Any) -> Pass | Parked:
        leave = self._world.leave()
        return PARKED[leave] if leave in PARKED else self._replica.passed(leave == "trial")

    def connection(self) -> Any:
        if self._replica.cut:
            raise psycopg.OperationalError("cut off")
        return nullcontext(self)

    def cursor(self, **_: Any) -> Any:
        return nullcontext(self)

    async def execute(self, statement: object, parameters: dict[str, Any], **_: object) -> None:
        """Renew the lease: the one statement that a runner makes itself."""
        assert parameters["epochs"] == [self._replica.epoch]

    async def fetchall(self) -> list[dict[str, Any]]:
        return [{"order_ledger_id": self._replica.order_id}] if self._replica.renewed() else []


class Held(Hold):
    """A claim by the world's clock."""

    def __init__(self, claim: Claim, replica: "RealReplica", world: World) -> None:
        super().__init__(claim, 0.0)
        self._replica, self._world, self._claimed_s = replica, world, world.now_s

    @property
    def left_s(self) -> float:
        return self._replica.ends_at_s - self._world.now_s

    @property
    def deadline_in_s(self) -> float | None:
        left_s = self.claim.deadline_in_s
        return None if left_s is None else left_s - (self._world.now_s - self._claimed_s)


class RealReplica(Replica):
    """A replica whose decisions, and the order of whose acts, are the real runner's."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world)
        around: Any = Around(self, world)
        self._runner = Runner(
            replica=name,
            pool=around,
            definitions=around,
            writer=around,
            caller=around,
            fleet=around,
            metrics=METRICS,
            jitter=0.0,
            lease_s=LEASE_S,
            lapses_max=LAPSES_MAX,
        )
        self._running: Any = None
        self.order_id = world.core.opening.order.order_ledger_id

    def passed(self, trial: bool) -> Pass:
        self._trial = trial
        return Pass("anybody", trial)

    def renewed(self) -> bool:
        return self._renew()

    def attempt_of(self, step: str) -> int:
        attempts: int = self._state.stored["steps"][step]["attempts"]
        return attempts

    def drop(self) -> None:
        super().drop()
        if self._running is not None:
            self._running.close()
            self._running = None

    def _begin(self, lapsed: bool) -> None:
        deadline_in_s = None if self._deadline_at is None else self._deadline_at - self._world.now_s
        claim = Claim(self._row(), lapsed, 0.0, 0.0, deadline_in_s, self._world.now_s)
        running = self._runner.run(Held(claim, self, self._world))
        self._running, self._trial = running, False
        self._go_on(lambda: running.send(None))

    def _row(self) -> SagaRow:
        self._read()
        row = self._world.core.work_on(self._state, self._lapses).row
        return structs.replace(row, lease_owner=self.name, lease_epoch=self.epoch, last_seq=self._last_seq)

    def _go_on(self, resume: Callable[[], Asked]) -> None:
        self._runner.stopping = self.stopping
        try:
            asked = resume()
        except StopIteration:
            self._running = None
            self.drop()
            return
        if asked.call is not None:
            self._send(asked.call)
            self._called = asked.call
            return
        transition = asked.transition
        assert transition is not None
        assert transition.lease_epoch == self.epoch
        # How long a call took is the one thing of a decision that the world does not say.
        entries = tuple(structs.replace(entry, duration_ms=None) for entry in transition.entries)
        self._decision = self._world.core.decision_of(structs.replace(transition, entries=entries), None)
        self._last_seq, self.phase = transition.last_seq, Phase.WRITING

    def _written(self) -> None:
        self._state = self._decision.state
        if self._decision.keep_lease:
            self.phase = Phase.CALLING
        else:
            self._call()

    def _call(self) -> None:
        written = Written(self._last_seq + len(self._decision.entries))
        self._go_on(lambda: self._running.send(written))

    def _missed(self) -> None:
        row = self._world.ledger.row
        assert row is not None
        if row.epoch != self.epoch:
            self._go_on(lambda: self._running.throw(ClaimLost("taken over")))
        else:
            superseded, self._trial = Superseded(self._row()), False
            self._go_on(lambda: self._running.send(superseded))

    def answered(self, outcome: str, how: str) -> None:
        self._decision = replace(self._decision, call=self._called)
        super().answered(outcome, how)

    def _decide(self, seen: Seen | None) -> None:
        assert seen is not None
        answer, self._trial = OUTCOMES[seen[0].removeprefix(TRIAL)], False
        self._go_on(lambda: self._running.send(answer))


class Real(Planted):
    replica = RealReplica


def saga_of(world: World) -> Saga[Any]:
    """Return the saga that a replica runs: the request of no step can be built while the code fails."""
    saga = world.core.scene.saga

    def request(step: Any, context: Any) -> Any:
        if world.poison is not None:
            raise RuntimeError("planted")
        return step.request(context)

    steps = tuple(replace(step, request=lambda context, step=step: request(step, context)) for step in saga.steps)
    return replace(saga, steps=steps)


def test_every_schedule_goes_the_same_way_with_the_real_runner() -> None:
    for seed in SEEDS:
        modelled = run(seed)
        with capture_logs():
            real = run(seed, planted=Real)

        assert (real.broken, real.choices) == (modelled.broken, modelled.choices), f"seed {seed}"
        assert real.history == modelled.history, f"seed {seed}"
