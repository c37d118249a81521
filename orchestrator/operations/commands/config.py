"""`saga config`: settings, and what sagas are configured to be; `saga drain`: what is still on a version."""

import json
from typing import IO, TYPE_CHECKING, Any

import click

from orchestrator.operations.commands.shared import AS_JSON, at_place, by_somebody
from orchestrator.operations.parameters import DURATION, SAGA

if TYPE_CHECKING:
    from orchestrator.operations.place import Place

OF_SAGA = click.argument("saga", metavar="SAGA", type=SAGA)


@click.group()
def config() -> None:
    """Show settings; change what sagas run with, while everything runs.

    Orders on their way keep what they started with. What is set is pending until it is applied.
    """


@config.command()
@AS_JSON
def env(as_json: bool) -> None:
    """Show every setting with its default and what it means."""
    from orchestrator.operations.environment import show_settings
    from orchestrator.settings import Settings
    from participants.settings import ParticipantSettings

    show_settings((Settings, ParticipantSettings), as_json)


@config.command()
@OF_SAGA
@at_place
@AS_JSON
def show(place: "Place", saga: str, as_json: bool) -> None:
    """Show what new orders of a saga start on, and what is pending."""
    from orchestrator.operations import config_view

    config_view.show(place, saga, as_json=as_json)


@config.command("set")
@OF_SAGA
@click.argument("changes", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--unset", metavar="KEY", multiple=True, help="Leave it to code and settings again; may be repeated.")
@click.option("--file", "source", type=click.File(), help="Begin from this JSON, - for stdin, not from what is there.")
@click.option("--reset", is_flag=True, help="Begin from nothing: all as code and settings have it.")
@by_somebody
@at_place
def set_pending(place: "Place", saga: str, changes: tuple[str, ...], source: IO[str] | None, reset: bool, **asked: Any) -> None:
    """Set what comes next: what is pending, or else active, with these changes.

    Keys: version, order, off, deadline_s, timeout_s, retry.first_s, retry.factor, retry.attempts_max, retry.wait_max_s,
    and for one step steps.NAME.timeout_s, .deadline_s, .wait_s, .when_open and .retry.… alike.
    """
    from orchestrator.operations import config_view

    if source is not None and reset:
        raise click.UsageError("--file and --reset both say what to begin from")
    document = {} if reset else _read(source) if source is not None else None
    if not changes and not asked["unset"] and document is None:
        raise click.UsageError("nothing is to be set: give KEY=VALUE, --unset, --file or --reset")
    config_view.change(place, saga, changes, document=document, **asked)


@config.command()
@OF_SAGA
@at_place
@AS_JSON
def diff(place: "Place", saga: str, as_json: bool) -> None:
    """Show what would change if what is pending were active."""
    from orchestrator.operations import config_view

    config_view.diff(place, saga, as_json=as_json)


@config.command()
@OF_SAGA
@click.option("--revision", type=click.IntRange(min=1), help="Only if this one is pending; else whichever is.")
@click.option(
    "--canary",
    metavar="PERCENT",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    help="Have this share of new orders start on it first.",
)
@click.option("--for", "for_s", metavar="TIME", type=DURATION, help="Of the canary, such as 10m; then it becomes active.")
@click.option(
    "--failure-rate-max",
    metavar="RATE",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of the canary's orders that may end FAILED or STUCK; above, it is taken back.",
)
@click.option(
    "--orders-min",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Orders that must have ended before that share counts.",
)
@by_somebody
@at_place
def apply(
    place: "Place", saga: str, canary: float | None, for_s: float | None, failure_rate_max: float, orders_min: int, **asked: Any
) -> None:  # fmt: skip
    """Have new orders start on what is pending, or on what a canary tries, at once and on every edge."""
    from orchestrator.configuring import CanaryTerms
    from orchestrator.operations import config_view

    if (canary is None) != (for_s is None):
        raise click.UsageError("--canary and --for go together")
    terms = None
    if canary is not None and for_s is not None:
        terms = CanaryTerms(canary, for_s, failure_rate_max, orders_min)
    config_view.apply(place, saga, canary=terms, **asked)


@config.command()
@OF_SAGA
@by_somebody
@at_place
def discard(place: "Place", saga: str, **asked: Any) -> None:
    """Drop what is pending, or take a canary back."""
    from orchestrator.operations import config_view

    config_view.discard(place, saga, **asked)


@config.command()
@OF_SAGA
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most entries to show.")
@at_place
@AS_JSON
def history(place: "Place", saga: str, limit: int, as_json: bool) -> None:
    """Show what was done with a saga's configuration, by whom and why, newest first."""
    from orchestrator.operations import config_view

    config_view.history(place, saga, limit=limit, as_json=as_json)


@click.command()
@click.option("--saga", type=SAGA, required=True, help="Which saga.")
@click.option("--version", required=True, type=click.IntRange(min=1), help="Which version of it.")
@click.option("--wait", is_flag=True, help="Wait until nothing is on it any more.")
@click.option("--timeout", "timeout_s", metavar="TIME", type=DURATION, help="Give up waiting after this, such as 1h.")
@at_place
@AS_JSON
def drain(place: "Place", saga: str, version: int, wait: bool, timeout_s: float | None, as_json: bool) -> None:
    """Show what is still on a version of a saga, by status, and the oldest; its code can go when nothing is."""
    from orchestrator.operations import draining

    draining.drain(place.database_url, saga, version, wait=wait, timeout_s=timeout_s, as_json=as_json)


def _read(source: IO[str]) -> Any:
    try:
        return json.load(source)
    except ValueError as error:
        raise click.UsageError(f"--file: it is not JSON: {error}") from None
