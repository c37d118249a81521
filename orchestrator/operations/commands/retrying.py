"""`saga ledger retry`: of one order, or of many."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click
from click.core import ParameterSource

from orchestrator.operations.commands.shared import ACTOR, AS_JSON, SEEN, at_place
from orchestrator.operations.parameters import DURATION, ORDER_ID, RETRYABLE, SAGA, TEXT
from sql.models import Status

if TYPE_CHECKING:
    from orchestrator.operations.place import Place

_ORDERS: Final = frozenset({"status", "saga", "error_like", "limit"})
_TERMS: Final = frozenset({"canary", "rate", "stop_at_failures", "wait_s"})
_WITH: Final[Mapping[str, frozenset[str]]] = {
    "order_ledger_id": frozenset({"reason", "dry_run", "seen"}),
    "everything": _ORDERS | _TERMS | {"reason", "dry_run"},
    "resume": _TERMS | {"reason"},
    "run": frozenset(),
    "runs": frozenset({"limit"}),
}
"""What can be said, each with what belongs to it."""
_RUNS_MAX: Final = 50


class _Retry(click.Command):
    """Refuses what does not go together before anything is looked for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what was said."""
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _mode(ctx)
        return rest


@click.command(cls=_Retry)
@click.argument("order_ledger_id", metavar="[ID]", type=ORDER_ID, required=False)
@click.option("--all", "everything", is_flag=True, help="All orders that are as the next four say, chosen once.")
@click.option("--status", type=RETRYABLE, help="STUCK or FAILED; needed with --all.")
@click.option("--saga", type=SAGA, help="Only orders of this saga.")
@click.option("--error-like", type=TEXT, help="Only orders with this in their last error.")
@click.option("--limit", type=click.IntRange(min=1), help="Most orders, the oldest first; with --runs, most runs. [--runs: 50]")
@click.option(
    "--canary", type=click.IntRange(min=0), default=0, show_default=True,
    help="Retry so many first, and the others only when these have ended well.",
)  # fmt: skip
@click.option(
    "--rate", type=click.FloatRange(0, 1000), default=20.0, show_default=True, help="Orders a second; 0 for no limit."
)
@click.option(
    "--stop-at-failures", metavar="SHARE", type=click.FloatRange(0, 1), default=0.2, show_default=True,
    help="Stop when more than this share of those that have ended went wrong.",
)  # fmt: skip
@click.option(
    "--wait", "wait_s", metavar="TIME", type=DURATION, default="10m", show_default=True,
    help="Give up waiting when no order has ended for so long.",
)  # fmt: skip
@click.option("--resume", metavar="RUN", type=click.IntRange(min=1), help="Go on with a run that was stopped or broken off.")
@click.option("--run", metavar="RUN", type=click.IntRange(min=1), help="Show a run, and what became of each of its orders.")
@click.option("--runs", is_flag=True, help="List runs, newest first.")
@click.option("--reason", type=TEXT, help="Why; is recorded. Needed with ID and --all.")
@ACTOR
@click.option("--dry-run", is_flag=True, help="Show what would follow; change nothing.")
@SEEN
@at_place
@AS_JSON
@click.pass_context
def retry(context: click.Context, /, place: "Place", actor: str, as_json: bool, **asked: Any) -> int | None:
    """Let a STUCK order go on, or place a FAILED one anew: the order ID, or with --all every such order.

    The orders of --all are kept as a run: what becomes STUCK meanwhile is not retried with them, each is retried once however
    many go on with the run, and who breaks it off loses nothing.
    """
    mode, url, reason = _mode(context), place.database_url, asked["reason"]
    if mode == "order_ledger_id":
        from orchestrator.operations import verbs

        order: UUID = asked["order_ledger_id"]
        said = {name: asked[name] for name in ("dry_run", "seen")}
        verbs.act("retry", url, order_ledger_id=order, actor=actor, reason=reason, as_json=as_json, **said)
    elif mode in ("run", "runs"):
        from orchestrator.operations import runs

        if mode == "run":
            runs.show_run(url, asked["run"], as_json=as_json)
        else:
            runs.show_runs(url, limit=asked["limit"] or _RUNS_MAX, as_json=as_json)
    else:
        return _bulk(context, mode, url, actor=actor, as_json=as_json)
    return None


def _bulk(context: click.Context, mode: str, url: str, *, actor: str, as_json: bool) -> int | None:
    from orchestrator.operations import bulk_view
    from orchestrator.operations.bulk import Wanted
    from orchestrator.operations.bulk_pace import Terms

    asked = context.params
    reason: str = asked["reason"]
    if mode == "resume":
        changes = {name: asked[name] for name in _TERMS & _given(context)}
        return bulk_view.resume(url, asked["resume"], changes, actor=actor, reason=reason, as_json=as_json)
    wanted = Wanted(Status(asked["status"]), asked["saga"], asked["error_like"], asked["limit"])
    terms = Terms(**{name: asked[name] for name in _TERMS})
    if not asked["dry_run"]:
        return bulk_view.retry_all(url, wanted, terms, actor=actor, reason=reason, as_json=as_json)
    bulk_view.show_preview(url, wanted, terms, actor=actor, reason=reason, as_json=as_json)
    return None


def _mode(context: click.Context) -> str:
    """Return which of the ways to use the command is meant.

    Raises:
        UsageError: None or more than one, or something is said that does not belong to it, or missing.
    """
    asked = context.params
    modes = [name for name in _WITH if asked[name]]
    if len(modes) != 1:
        raise click.UsageError("say one of ID, --all, --resume, --run and --runs", context)
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    wrong = sorted(
        options[name] for name in _given(context) & (_ORDERS | _TERMS | {"reason", "dry_run", "seen"}) - _WITH[modes[0]]
    )
    if wrong:
        what = "an order's ID" if modes[0] == "order_ledger_id" else options[modes[0]]
        raise click.UsageError(f"{wrong[0]} is not said with {what}", context)
    needed = {"order_ledger_id": ("reason",), "everything": ("status", "reason")}.get(modes[0], ())
    for name in needed:
        if asked[name] is None:
            raise click.MissingParameter(ctx=context, param_hint=f"'{options[name]}'", param_type="option")
    return modes[0]


def _given(context: click.Context) -> set[str]:
    return {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
