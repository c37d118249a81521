"""`saga breaker` and `saga participants`: where participants are, and whether they may be called."""

from typing import TYPE_CHECKING, Any

import click

from orchestrator.operations.commands.shared import ACTOR, AS_JSON, WHY, at_place, by_somebody
from orchestrator.operations.parameters import ADDRESS, PARTICIPANT

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.group()
def breaker() -> None:
    """Look at the breakers of participants; hold one open, close one."""


@breaker.command("list")
@at_place
@AS_JSON
def list_breakers(place: "Place", as_json: bool) -> None:
    """List the breaker of every participant."""
    from orchestrator.operations import fleet

    fleet.show_breakers(place.database_url, as_json=as_json)


@breaker.command()
@click.argument("name", type=PARTICIPANT)
@by_somebody
@at_place
def hold(place: "Place", name: str, actor: str, reason: str, as_json: bool) -> None:
    """Make no calls to a participant until its breaker is reset."""
    from orchestrator.operations import fleet

    fleet.hold(place.database_url, name, actor=actor, reason=reason, as_json=as_json)


@breaker.command()
@click.argument("name", type=PARTICIPANT)
@by_somebody
@at_place
def reset(place: "Place", name: str, actor: str, reason: str, as_json: bool) -> None:
    """Close a breaker, whether it opened by itself or was held."""
    from orchestrator.operations import fleet

    fleet.reset(place.database_url, name, actor=actor, reason=reason, as_json=as_json)


@click.group()
def participants() -> None:
    """Say where participants are, while everything runs."""


@participants.command("list")
@at_place
@AS_JSON
def list_participants(place: "Place", as_json: bool) -> None:
    """List where each participant is, and who says so."""
    from orchestrator.operations import fleet

    fleet.show_participants(place.database_url, as_json=as_json)


@participants.command()
@click.argument("name", type=PARTICIPANT)
@click.argument("address", type=ADDRESS)
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Most calls of one replica at once; else as it was.")
@WHY
@ACTOR
@at_place
def add(place: "Place", name: str, address: str, concurrency: int | None, **asked: Any) -> None:
    """Add a participant, or say that it has moved.

    Orchestrators and edges call it there within a few seconds.
    """
    from orchestrator.operations import fleet

    fleet.add(place.database_url, name, address, concurrency, **asked)


@participants.command()
@click.argument("name", type=PARTICIPANT)
@click.option("--force", is_flag=True, help="Even if orders on their way need it: they wait for it, or for their deadline.")
@WHY
@ACTOR
@at_place
def remove(place: "Place", name: str, **asked: Any) -> None:
    """Remove a participant; where a setting names an address, that one holds again."""
    from orchestrator.operations import fleet

    fleet.remove(place.database_url, name, **asked)
