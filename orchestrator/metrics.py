"""What an orchestrator counts; names and labels are part of the public surface."""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable
from itertools import accumulate

from msgspec import Struct, field
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.outcome import Outcome
from orchestrator.phases import Phase
from sql.models import Direction

_DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_BUCKET_LABELS = [*(str(float(bound)) for bound in _DURATION_BUCKETS_S), "+Inf"]


class StepMetrics(Collector):
    """What is counted of every call to a participant, by whichever process makes it: one name, one set of buckets.

    Calls are what a replica does most, so they are tallied in plain numbers, which become metrics when they are asked for: a
    tenth of the time of the library's own counters. One event loop counts; there is no lock.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts: Tally[tuple[str, str, Direction, type[Outcome]]] = Tally()
        self._durations: dict[tuple[str, str, Direction], _Durations] = {}
        registry.register(self)

    def count(self, saga: str, step: str, direction: Direction, outcome: Outcome, duration_s: float) -> None:
        """Count one call."""
        self._attempts[saga, step, direction, type(outcome)] += 1
        durations = self._durations.get((saga, step, direction))
        if durations is None:
            durations = self._durations[saga, step, direction] = _Durations()
        durations.sum_s += duration_s
        durations.calls[bisect_left(_DURATION_BUCKETS_S, duration_s)] += 1

    def collect(self) -> Iterable[Metric]:
        """Return what was counted, as a registry asks for it."""
        labels = ["saga", "step", "direction"]
        attempts = CounterMetricFamily(
            "saga_step_attempts_total", "Calls to participants by what they came to", labels=[*labels, "outcome"]
        )
        for (saga, step, direction, outcome), calls in self._attempts.items():
            attempts.add_metric([saga, step, direction.value, outcome.__name__.lower()], calls)
        times = HistogramMetricFamily("saga_step_duration_seconds", "Time of one call", labels=labels)
        for (saga, step, direction), durations in self._durations.items():
            buckets = list(zip(_BUCKET_LABELS, accumulate(durations.calls), strict=True))
            times.add_metric([saga, step, direction.value], buckets, durations.sum_s)
        return attempts, times


class _Durations(Struct):
    sum_s: float = 0.0
    calls: list[int] = field(default_factory=lambda: [0] * len(_BUCKET_LABELS))


def breaker_state(registry: CollectorRegistry) -> Gauge:
    """Return the metric of how breakers stand, for whichever process looks at the fleet."""
    return Gauge(
        "saga_breaker_state",
        "Breaker of a participant: 0 closed, 1 half-open, 2 open, 3 held by an operator",
        ["participant"],
        registry=registry,
    )


def calls_refused(registry: CollectorRegistry) -> Counter:
    """Return the metric of calls that are wrong themselves, for whichever process makes calls."""
    return Counter(
        "saga_calls_refused_total",
        "Calls that a participant did not understand or let in, by status, or that were not made for their address",
        ["participant", "reason"],
        registry=registry,
    )


class Metrics:
    """The counters of one replica, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.finished = Counter("saga_finished_total", "Sagas that ended", ["saga", "status"], registry=registry)
        self.duration = Histogram(
            "saga_duration_seconds",
            "From the order's record to its end",
            ["saga"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self.steps = StepMetrics(registry)
        self.claims = Counter("saga_claims_total", "Orders claimed, by what woke the replica", ["woken_by"], registry=registry)
        self.claim_lag = Histogram(
            "saga_claim_lag_seconds", "From due to claimed", buckets=_DURATION_BUCKETS_S, registry=registry
        )
        self.listener_connected = Gauge("saga_listener_connected", "1 while LISTEN is proven to work", registry=registry)
        self.notification_queue = Gauge(
            "saga_notification_queue_usage", "Share of the server's notification queue in use", registry=registry
        )
        self.breaker_state = breaker_state(registry)
        self.calls_refused = calls_refused(registry)
        self.loop_lag = Gauge("saga_loop_lag_seconds", "How late the event loop came round last", registry=registry)
        self.tcc_phases = Histogram(
            "saga_tcc_phase_duration_seconds",
            "From the first attempt of a phase to its end",
            ["phase"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self.tcc_timeouts = Counter(
            "saga_tcc_timeouts_total", "Tries given up because no answer came in time", registry=registry
        )
        self.lease_lost = Counter("saga_lease_lost_total", "Claims that another replica took over", registry=registry)
        self.deliveries = Counter(
            "saga_webhook_attempts_total", "Attempts to deliver an event, by outcome", ["webhook", "outcome"], registry=registry
        )

    def claimed(self) -> dict[str, int]:
        """Return how many orders were claimed since the start, by what woke the replica."""
        samples = (sample for family in self.claims.collect() for sample in family.samples if sample.name.endswith("_total"))
        return {sample.labels["woken_by"]: int(sample.value) for sample in samples}

    def count_phase(self, phase: Phase) -> None:
        """Count a phase of a TCC that has ended."""
        self.tcc_phases.labels(phase.name).observe(phase.duration_s)
        if phase.timed_out:
            self.tcc_timeouts.inc()
