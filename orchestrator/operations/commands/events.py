"""`saga events`: what is told of orders."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from orchestrator.operations.commands.shared import AS_JSON, at_place

if TYPE_CHECKING:
    from orchestrator.operations.events_view import Beginning
    from orchestrator.operations.place import Place


class _Beginning(click.ParamType["Beginning"]):
    """An event's id, a cursor of the feed, `start` or `last`."""

    name = "beginning"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Beginning":
        """Read it."""
        from sql.events import CursorGone, decode_cursor

        if value in ("start", "last"):
            return "start" if value == "start" else "last"
        for read in (UUID, decode_cursor):
            try:
                return read(value)
            except (ValueError, CursorGone):
                continue
        self.fail(f"{value!r} is neither an event's id nor a cursor of the feed, nor `start` or `last`", param, ctx)


@click.group()
def events() -> None:
    """Follow what is told of orders."""


@events.command()
@click.option(
    "--from", "beginning", type=_Beginning(), metavar="ID", default="last", show_default="the last ten",
    help="Begin behind this event or cursor; `start` for all that is kept.",
)  # fmt: skip
@at_place
@AS_JSON
def tail(place: "Place", beginning: "Beginning", as_json: bool) -> None:
    """Print events as they come, every client's, until Ctrl-C."""
    from orchestrator.operations import events_view

    events_view.tail(place.database_url, beginning=beginning, as_json=as_json)


@events.command()
@click.option("--into", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Renew it in this document.")
@AS_JSON
def catalogue(into: Path | None, as_json: bool) -> None:
    """Print the types of events; with --json the JSON Schema of an event."""
    from orchestrator.operations.catalogue import print_catalogue

    print_catalogue(into=into, as_json=as_json)
