"""The metrics that each kind of process exposes, with their labels: names and labels are part of the public surface.

Tests hold running processes, alert rules and dashboards against this list.
"""

from typing import Final

_CALLS: Final = {
    "saga_step_attempts_total": {"saga", "step", "direction", "outcome"},
    "saga_step_duration_seconds": {"saga", "step", "direction"},
    "saga_finished_total": {"saga", "status"},
    "saga_breaker_state": {"participant"},
    "saga_calls_refused_total": {"participant", "reason"},
}
_REQUESTS: Final = {"http_request_duration_seconds": {"route", "method", "status"}}
EXPOSED: Final[dict[str, dict[str, set[str]]]] = {
    "edge": {
        **_REQUESTS,
        **_CALLS,
        "saga_started_total": {"saga"},
        "saga_active": {"saga", "status"},
        "saga_oldest_seconds": {"saga", "status"},
        "saga_outbox_pending": set(),
        "saga_outbox_dead": set(),
        "saga_streams_open": {"route"},
        "saga_ledger_reachable": set(),
        "saga_database_connections": set(),
        "saga_database_connections_max": set(),
        "saga_database_size_bytes": set(),
        "saga_database_transaction_age": set(),
        "saga_database_transactions_total": {"outcome"},
        "saga_database_blocks_total": {"source"},
        "saga_database_deadlocks_total": set(),
        "saga_database_rows": {"table", "kind"},
    },
    "orchestrator": {
        **_CALLS,
        "saga_duration_seconds": {"saga"},
        "saga_claims_total": {"woken_by"},
        "saga_claim_lag_seconds": set(),
        "saga_listener_connected": set(),
        "saga_notification_queue_usage": set(),
        "saga_loop_lag_seconds": set(),
        "saga_lease_lost_total": set(),
        "saga_tcc_phase_duration_seconds": {"phase"},
        "saga_tcc_timeouts_total": set(),
        "saga_webhook_attempts_total": {"webhook", "outcome"},
    },
    "participant": _REQUESTS,
}
"""By the name of the job that asks for them (`deploy/prometheus.yml`); of histograms the name without its ending."""

PROCESS: Final = frozenset(
    {
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
    }
)
"""What every process tells of itself besides."""
