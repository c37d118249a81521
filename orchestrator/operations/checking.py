"""`saga health`, `saga audit` and `saga reconcile`: whether all is well, as an exit code too."""

import asyncio
from dataclasses import asdict

from orchestrator.loading import find_queries, registered
from orchestrator.operations.audit import render_audit, run_audit
from orchestrator.operations.audit_log import Asking
from orchestrator.operations.health import check_health, part_names
from orchestrator.operations.place import Place
from orchestrator.operations.reconcile import reconcile, render_reconciliation
from orchestrator.operations.render import open_console, print_health, print_json
from orchestrator.settings import Settings


def show_health(place: Place, only: str | None, as_json: bool) -> int:
    """Ask every part, or one; return 0 when all that were asked are well, else 1."""
    parts = asyncio.run(check_health(place, [only] if only else part_names(place)))
    healthy = all(part.healthy for part in parts)
    if as_json:
        print_json({"healthy": healthy, "parts": [asdict(part) for part in parts]})
    else:
        print_health(open_console(), parts)
    return 0 if healthy else 1


def show_audit(place: Place, settings: Settings, as_json: bool, *, questions: bool) -> int:
    """Audit an installation with all its sagas and queries; return 0 when it is clean, else 1."""
    sagas, queries = registered(settings), find_queries(settings.definition_modules)
    auditing = run_audit(
        place.database_url,
        place.participants,
        place.participant_databases,
        sagas,
        questions=questions,
        queries=queries,
        asking=Asking(place.reach, place.participant_secrets),
    )
    report = asyncio.run(auditing)
    if as_json:
        print_json(report.to_json())
    else:
        render_audit(report, open_console())
    return report.exit_code


def show_reconciliation(place: Place, settings: Settings, as_json: bool) -> int:
    """Compare the ledger with the participants; return 0 when they agree, else 1."""
    asking = Asking(place.reach, place.participant_secrets)
    report = asyncio.run(reconcile(place.database_url, place.participants, registered(settings), asking))
    if as_json:
        print_json(report.to_json())
    else:
        render_reconciliation(report, open_console())
    return report.exit_code
