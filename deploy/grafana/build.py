"""The dashboards: what they show, and the JSON that Grafana reads, in `dashboards/` beside this file.

`python deploy/grafana/build.py` writes them anew; a test sees that they are up to date, and asks a running stack every query.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"
COLUMNS: Final = 24
HEIGHT: Final = 8
SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True)
class Panel:
    """One plot, or one number.

    Attributes:
        title: What it shows, in words.
        queries: PromQL and the legend of each.
        unit: As Grafana names it.
        wide: Columns of 24.
        red_from, green_from: Of a number: from which value on it is red, or green and red below. None of them for a plot.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    wide: int = 12
    red_from: float | None = None
    green_from: float | None = None


def quantiles(metric: str, by: str = "", of: tuple[float, ...] = (0.5, 0.95)) -> tuple[tuple[str, str], ...]:
    """Return the queries of a histogram's quantiles, one line for each value of a label where one is named."""
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return tuple(
        (f"histogram_quantile({q:g}, sum by ({labels}) (rate({metric}_bucket[5m])))", f"p{q * 100:g}{legend}") for q in of
    )


def each(query: str, *labels: str) -> tuple[tuple[str, str], ...]:
    """Return one query whose lines are told by their labels."""
    return ((query, " ".join(f"{{{{{label}}}}}" for label in labels)),)


DASHBOARDS: Final[dict[str, tuple[Panel, ...]]] = {
    "sagas": (
        Panel("Stuck", (('sum(max by (saga) (saga_active{status="STUCK"})) or vector(0)', "orders"),), wide=4, red_from=1),
        Panel("On their way", (('sum(max by (saga, status) (saga_active{status!="STUCK"}))', "orders"),), wide=4,
              red_from=1000),
        Panel("Oldest unfinished", (("max(saga_oldest_seconds)", "age"),), "s", wide=4, red_from=7200),
        Panel("Replicas", (('count(up{job="orchestrator"} == 1) or vector(0)', "replicas"),), wide=4, green_from=1),
        Panel("Listeners", (("sum(saga_listener_connected)", "listeners"),), wide=4, green_from=1),
        Panel("Edges", (('count(up{job="edge"} == 1) or vector(0)', "edges"),), wide=4, green_from=1),
        Panel("Orders recorded per second", each("sum by (saga) (rate(saga_started_total[1m]))", "saga"), "ops"),
        Panel("Orders ended per second", each("sum by (saga, status) (rate(saga_finished_total[1m]))", "saga", "status"),
              "ops"),
        Panel("Unfinished, by status", each("sum by (status) (max by (saga, status) (saga_active))", "status")),
        Panel("From record to end", quantiles("saga_duration_seconds", "saga"), "s"),
        Panel("Age of the oldest unfinished", each("max by (saga, status) (saga_oldest_seconds)", "saga", "status"), "s"),
        Panel("Wait for a claim", quantiles("saga_claim_lag_seconds"), "s"),
        Panel("Claims, by what woke the replica", each("sum by (woken_by) (rate(saga_claims_total[1m]))", "woken_by"), "ops"),
        Panel("Leases lost", each("sum by (instance) (rate(saga_lease_lost_total[5m]))", "instance"), "ops"),
        Panel("Requests at the edge", each('sum by (status) (rate(http_request_duration_seconds_count{job="edge"}[1m]))',
                                           "status"), "reqps"),
        Panel("Time of a request at the edge, p95",
              each('histogram_quantile(0.95, sum by (le, route) (rate(http_request_duration_seconds_bucket{job="edge"}[5m])))',
                   "route"), "s"),
    ),
    "participants": (
        Panel("Breakers: 0 closed, 1 half-open, 2 open, 3 held",
              each("max by (participant) (saga_breaker_state)", "participant"), wide=24),
        Panel("Calls per second", each("sum by (step, direction) (rate(saga_step_attempts_total[1m]))", "step", "direction"),
              "ops"),
        Panel("Calls that ended unclear or refused",
              each('sum by (step, direction, outcome) (rate(saga_step_attempts_total{outcome!="succeeded"}[1m]))',
                   "step", "direction", "outcome"), "ops"),
        Panel("Time of a call, p95", quantiles("saga_step_duration_seconds", "step", (0.95,)), "s"),
        Panel("Calls not let in or not understood",
              each("sum by (participant, reason) (rate(saga_calls_refused_total[5m]))", "participant", "reason"), "ops"),
        Panel("Requests at participants",
              each('sum by (instance, status) (rate(http_request_duration_seconds_count{job="participant"}[1m]))',
                   "instance", "status"), "reqps"),
        Panel("Time of a request at participants, p95",
              each("histogram_quantile(0.95, sum by (le, instance)"
                   ' (rate(http_request_duration_seconds_bucket{job="participant"}[5m])))', "instance"), "s"),
    ),
    "tcc": (
        Panel("Phases per second", each("sum by (phase) (rate(saga_tcc_phase_duration_seconds_count[1m]))", "phase"), "ops"),
        Panel("Time of a phase", quantiles("saga_tcc_phase_duration_seconds", "phase"), "s"),
        Panel("Tries given up for time", (("sum(rate(saga_tcc_timeouts_total[5m]))", "tries"),), "ops"),
        Panel("Share of checkouts that are cancelled",
              (('sum(rate(saga_tcc_phase_duration_seconds_count{phase="cancel"}[5m]))'
                ' / sum(rate(saga_tcc_phase_duration_seconds_count{phase="try"}[5m]))', "cancelled"),), "percentunit"),
        Panel("Calls of the phases",
              each('sum by (step, direction, outcome) (rate(saga_step_attempts_total{saga=~"checkout_tcc|pay_order"}[1m]))',
                   "step", "direction", "outcome"), "ops", wide=24),
    ),
    "events": (
        Panel("Wait for a webhook", (("max(saga_outbox_pending)", "deliveries"),), wide=12, red_from=1000),
        Panel("Dead letters", (("max(saga_outbox_dead)", "deliveries"),), wide=12, red_from=1),
        Panel("Deliveries that wait, and that were given up",
              (("max(saga_outbox_pending)", "wait"), ("max(saga_outbox_dead)", "dead"))),
        Panel("Attempts, by outcome",
              each("sum by (webhook, outcome) (rate(saga_webhook_attempts_total[1m]))", "webhook", "outcome"), "ops"),
        Panel("Readers of the feed", each('sum by (status) (rate(http_request_duration_seconds_count{route="/events"}[1m]))',
                                          "status"), "reqps"),
        Panel("Notification queue in use", (("max(saga_notification_queue_usage)", "share"),), "percentunit"),
    ),
    "database": (
        Panel("Answers", (("max(saga_ledger_reachable)", "edges that reach it"),), wide=6, green_from=1),
        Panel("Size", (("max(saga_database_size_bytes)", "ledger"),), "bytes", wide=6, red_from=1e12),
        Panel("Connections in use", (("max(saga_database_connections) / max(saga_database_connections_max)", "share"),),
              "percentunit", wide=6, red_from=0.9),
        Panel("Transactions since the oldest freeze", (("max(saga_database_transaction_age)", "transactions"),), wide=6,
              red_from=1e9),
        Panel("Transactions per second", each("max by (outcome) (rate(saga_database_transactions_total[1m]))", "outcome"),
              "ops"),
        Panel("Share of blocks read from the cache",
              (('max(rate(saga_database_blocks_total{source="cache"}[5m]))'
                ' / (max(rate(saga_database_blocks_total{source="cache"}[5m]))'
                ' + max(rate(saga_database_blocks_total{source="disk"}[5m])))', "share"),), "percentunit"),
        Panel("Rows, estimated", each('max by (table) (saga_database_rows{kind="live"})', "table")),
        Panel("Dead rows, estimated", each('max by (table) (saga_database_rows{kind="dead"})', "table")),
        Panel("Deadlocks per second", (("max(rate(saga_database_deadlocks_total[5m]))", "deadlocks"),), "ops"),
        Panel("Lateness of event loops", each("max by (instance) (saga_loop_lag_seconds)", "instance"), "s"),
        Panel("Memory of processes", each("max by (job, instance) (process_resident_memory_bytes)", "job", "instance"),
              "bytes"),
        Panel("Processor time of processes", each("max by (job, instance) (rate(process_cpu_seconds_total[1m]))",
                                                  "job", "instance"), "percentunit"),
    ),
}  # fmt: skip


def dashboard(name: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it, its panels from left to right and down."""
    shown: list[dict[str, Any]] = []
    x = y = 0
    for panel in panels:
        if x + panel.wide > COLUMNS:
            x, y = 0, y + HEIGHT
        shown.append({"id": len(shown) + 1, "gridPos": {"x": x, "y": y, "w": panel.wide, "h": HEIGHT}, **_panel(panel)})
        x += panel.wide
    return {
        "uid": f"sagaledger-{name}",
        "title": f"Sagaledger: {name.upper() if name == 'tcc' else name}",
        "tags": ["sagaledger"],
        "schemaVersion": 41,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["sagaledger"], "title": "Sagaledger", "asDropdown": False}],
        "panels": shown,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    turns = [("green", "red", panel.red_from), ("red", "green", panel.green_from)]
    steps = [({"color": first, "value": None}, {"color": then, "value": at}) for first, then, at in turns if at is not None]
    if steps:
        defaults["thresholds"] = {"mode": "absolute", "steps": list(steps[0])}
    return {
        "type": "stat" if steps else "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


def text_of(name: str) -> str:
    """Return the file of a dashboard."""
    return json.dumps(dashboard(name, DASHBOARDS[name]), indent=1) + "\n"


if __name__ == "__main__":
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")
