"""What an orchestrator counts; names and labels are part of the public surface."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from orchestrator.outcome import Outcome
from sql.models import Direction

_DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class StepMetrics:
    """What is counted of every call to a participant, by whichever process makes it: one name, one set of buckets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "saga_step_attempts_total",
            "Calls to participants by what they came to",
            ["saga", "step", "direction", "outcome"],
            registry=registry,
        )
        self._duration = Histogram(
            "saga_step_duration_seconds",
            "Time of one call",
            ["saga", "step", "direction"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )

        # Looking a label set up takes longer than counting; there are few: steps of known sagas and three outcomes.
        self._known: dict[tuple[str, str, Direction, type[Outcome]], tuple[Counter, Histogram]] = {}

    def count(self, saga: str, step: str, direction: Direction, outcome: Outcome, duration_s: float) -> None:
        """Count one call."""
        labels = (saga, step, direction, type(outcome))
        if labels not in self._known:
            name = type(outcome).__name__.lower()
            attempts = self._attempts.labels(saga, step, direction.value, name)
            self._known[labels] = (attempts, self._duration.labels(saga, step, direction.value))
        attempts, duration = self._known[labels]
        attempts.inc()
        duration.observe(duration_s)


def breaker_state(registry: CollectorRegistry) -> Gauge:
    """Return the metric of how breakers stand, for whichever process looks at the fleet."""
    return Gauge(
        "saga_breaker_state",
        "Breaker of a participant: 0 closed, 1 half-open, 2 open, 3 held by an operator",
        ["participant"],
        registry=registry,
    )


class Metrics:
    """The counters of one replica, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
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
        self.loop_lag = Gauge("saga_loop_lag_seconds", "How late the event loop came round last", registry=registry)
        self.lease_lost = Counter("saga_lease_lost_total", "Claims that another replica took over", registry=registry)
