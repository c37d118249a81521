"""`saga webhooks` and `saga outbox`: who gets events sent, and what could not be delivered."""

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from orchestrator.operations.commands.shared import ACTOR, AS_JSON, WHY, at_place, noted
from orchestrator.operations.parameters import CLIENT, NAME, TEXT

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


class _ReceiverUrl(click.ParamType[str]):
    """Where a webhook's receiver is."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        from orchestrator.addresses import receiver_url
        from orchestrator.operations.place import checked_settings

        try:
            return receiver_url(str(value), checked_settings().webhook_reach)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _EventType(click.ParamType[str]):
    """A type of events; a team's own saga may tell of types that are not in the catalogue."""

    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        from orchestrator.webhooks.subscribing import TYPE

        if not re.fullmatch(TYPE, str(value)):
            self.fail(f"{value!r} is no type of events, such as OrderCompleted", param, ctx)
        return str(value)


WEBHOOK = click.option("--webhook", type=NAME, metavar="NAME", help="Only of this webhook.")


@click.group()
def webhooks() -> None:
    """Say who gets events sent (Standard Webhooks)."""


@webhooks.command()
@click.argument("name", type=NAME)
@click.argument("url", type=_ReceiverUrl())
@click.option("--type", "types", type=_EventType(), multiple=True, help="Only events of this type; may stand several times.")
@click.option("--from-start", is_flag=True, help="Begin with the oldest event that is kept.")
@click.option("--client", type=CLIENT, help="Only events of this client's orders; else of every client's.")
@noted
@at_place
def add(place: "Place", name: str, url: str, types: tuple[str, ...], **asked: Any) -> None:
    """Send events to URL from now on; prints the secret that they are signed with, once."""
    from orchestrator.operations import webhooks_view

    webhooks_view.add(place.database_url, name, url, types, **asked)


@webhooks.command("list")
@at_place
@AS_JSON
def list_webhooks(place: "Place", as_json: bool) -> None:
    """List webhooks: how each stands, and how many deliveries wait or are dead."""
    from orchestrator.operations import webhooks_view

    webhooks_view.show_list(place.database_url, as_json=as_json)


@webhooks.command()
@click.argument("name", type=NAME)
@click.option(
    "--grace", type=click.FloatRange(0, 8760), default=24.0, show_default=True, metavar="HOURS",
    help="Hours for which the secret before signs too; 0 for one that somebody else knows.",
)  # fmt: skip
@noted
@at_place
def rotate(place: "Place", name: str, grace: float, **asked: Any) -> None:
    """Sign with a new secret, and print it, once."""
    from orchestrator.operations import webhooks_view

    webhooks_view.rotate(place.database_url, name, grace_s=grace * 3600, **asked)


@webhooks.command()
@click.argument("name", type=NAME)
@WHY
@ACTOR
@at_place
def enable(place: "Place", name: str, **asked: Any) -> None:
    """Have a webhook that was disabled go on where it stood."""
    from orchestrator.operations import webhooks_view

    webhooks_view.enable(place.database_url, name, **asked)


@webhooks.command()
@click.argument("name", type=NAME)
@click.option("--reason", required=True, type=TEXT, help="Why; is shown with it.")
@ACTOR
@at_place
def disable(place: "Place", name: str, **asked: Any) -> None:
    """Send a webhook nothing more until it is enabled."""
    from orchestrator.operations import webhooks_view

    webhooks_view.disable(place.database_url, name, **asked)


@webhooks.command()
@click.argument("name", type=NAME)
@WHY
@ACTOR
@at_place
def remove(place: "Place", name: str, **asked: Any) -> None:
    """Remove a webhook with its dead letters."""
    from orchestrator.operations import webhooks_view

    webhooks_view.remove(place.database_url, name, **asked)


@click.group()
def outbox() -> None:
    """Look at events that could not be delivered; have them tried again."""


@outbox.command()
@WEBHOOK
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most to show.")
@at_place
@AS_JSON
def dead(place: "Place", webhook: str | None, limit: int, as_json: bool) -> None:
    """List dead letters with the reason, those given up last first."""
    from orchestrator.operations import webhooks_view

    webhooks_view.show_dead(place.database_url, webhook=webhook, limit=limit, as_json=as_json)


@outbox.command()
@click.argument("event_id", metavar="[ID]", type=click.UUID, required=False)
@click.option("--all", "everything", is_flag=True, help="All that are dead now, the oldest first.")
@WEBHOOK
@click.option(
    "--rate", type=click.FloatRange(0.1, 1000), default=20.0, show_default=True, help="With --all: how many a second."
)
@noted
@at_place
def replay(place: "Place", event_id: UUID | None, everything: bool, **asked: Any) -> None:
    """Have dead letters tried again, with all their attempts: those of the event ID, or all."""
    from orchestrator.operations import webhooks_view

    if everything == (event_id is not None):
        raise click.UsageError("say an event's ID or --all")
    webhooks_view.replay(place.database_url, event_id, **asked)
