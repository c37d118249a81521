"""`saga keys`: who may use the API, and for what; `saga acts`: what operators did that is about no order."""

from typing import TYPE_CHECKING, Any

import click

from orchestrator.operations.commands.shared import AS_JSON, at_place, by_somebody, noted, or_nothing
from orchestrator.operations.parameters import CLIENT, TEXT

if TYPE_CHECKING:
    from orchestrator.operations.place import Place

SCOPES = ("orders", "events", "admin")


KEY_ID = click.argument("key_id", metavar="ID", type=TEXT)


@click.group()
def keys() -> None:
    """Say who may use the API, and for what.

    From the first key on clients need one, and operators from the first with the scope admin on; outside dev they always do.
    """


@keys.command()
@click.argument("client", type=CLIENT)
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True, help="May stand several times.")
@click.option("--expires-days", type=click.FloatRange(0, 36_500, min_open=True), help="Days until it ends; else it does not.")
@click.option("--note", type=TEXT, callback=or_nothing, help="What it is for; is shown in lists.")
@noted
@at_place
def create(place: "Place", client: str, scopes: tuple[str, ...], **asked: Any) -> None:
    """Make a key for CLIENT and print it, once; it holds at once."""
    from orchestrator.operations import keys_view

    keys_view.create(place.database_url, client, scopes, **asked)


@keys.command("list")
@click.option("--client", type=CLIENT, help="Only of this client.")
@at_place
@AS_JSON
def list_keys(place: "Place", client: str | None, as_json: bool) -> None:
    """List keys: whose each is, what it allows, until when, and when it was used last."""
    from orchestrator.operations import keys_view

    keys_view.show_list(place.database_url, client, as_json=as_json)


@keys.command()
@KEY_ID
@click.option(
    "--overlap-s", type=click.FloatRange(0, 31_536_000), default=86_400.0, show_default=True,
    help="Seconds for which the key before holds too; 0 for one that somebody else knows.",
)  # fmt: skip
@noted
@at_place
def rotate(place: "Place", key_id: str, **asked: Any) -> None:
    """Make a key that takes the place of the key ID, for the same client and scopes, and print it, once."""
    from orchestrator.operations import keys_view

    keys_view.rotate(place.database_url, key_id, **asked)


@keys.command()
@KEY_ID
@by_somebody
@at_place
def revoke(place: "Place", key_id: str, **asked: Any) -> None:
    """End a key for good, everywhere within two seconds."""
    from orchestrator.operations import keys_view

    keys_view.revoke(place.database_url, key_id, **asked)


@click.command()
@click.option("--subject", type=TEXT, help="Only with this key, webhook or participant.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most to show.")
@at_place
@AS_JSON
def acts(place: "Place", subject: str | None, limit: int, as_json: bool) -> None:
    """Show who did what with keys, webhooks and participants, newest first; what was done with orders is in their journals."""
    from orchestrator.operations import keys_view

    keys_view.show_acts(place.database_url, subject, limit=limit, as_json=as_json)
