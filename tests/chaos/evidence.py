"""What is shown of a run that went wrong: for each order that something is wrong with, its journal and its effects."""

from collections.abc import Callable
from typing import Final

from tests.chaos.report import Report
from tests.chaos.stage import Stage

ORDERS_MAX: Final = 5
VIOLATIONS_MAX: Final = 30
WIDTH: Final = 600
JOURNAL: Final = """
    select seq, to_char(at, 'HH24:MI:SS.MS') as at, kind, step, direction, round, attempt, outcome, replica, lease_epoch,
        duration_ms, error, reason, actor
    from ledger_journal where order_ledger_id::text = %s order by seq
"""
ROW: Final = "select * from order_ledger where order_ledger_id::text = %s"
EFFECTS: Final = "select seq, to_char(at, 'HH24:MI:SS.MS') as at, operation_key, kind, amounts from effect where order_id = %s"
FENCES: Final = (
    "select subject, operation, reason, idempotency_key, status, created_at from fence where idempotency_key like %s"
)


async def show_evidence(stage: Stage, report: Report, say: Callable[[str], None]) -> None:
    """Say what was wrong, with the whole story of some of the orders."""
    for violation in report.violations[:VIOLATIONS_MAX]:
        say(f"VIOLATION {violation.what[:WIDTH]}")
    for name in report.missing:
        say(f"NEVER HAPPENED {name}")
    orders = list(dict.fromkeys(violation.order for violation in report.violations if violation.order))
    for order in orders[:ORDERS_MAX]:
        say(f"--- order {order}, fate {stage.bank.faults.fate(order)}")
        for row in await stage.ledger.ask(ROW, order):
            say(f"row {row}")
        for entry in await stage.ledger.ask(JOURNAL, order):
            say("  ".join(f"{value}" for value in entry.values() if value is not None))
        for participant in stage.participants:
            for effect in await stage.ledger.ask(EFFECTS, order, database=participant):
                say(f"effect {participant} {effect}")
            for fence in await stage.ledger.ask(FENCES, f"{order}%", database=participant):
                say(f"fence {participant} {fence}")
        for key, strikes in stage.bank.strikes.items():
            if key.startswith(order):
                say(f"calls {key}: {[(f'{s.at_s:.3f}', str(s.fault), s.status) for s in strikes]}")
