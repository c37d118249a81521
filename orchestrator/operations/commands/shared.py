"""What commands take alike: the installation, JSON, and what every act of an operator states."""

import functools
import gc
import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from orchestrator.operations.parameters import ORDER_ID, TEXT, Beginning

Command = TypeVar("Command", bound=Callable[..., Any])
GC_THRESHOLD: Final = 20_000
"""Objects that come to be before a look for garbage; 700 by default."""
PARTICIPANTS: Final = ("orders", "inventory", "payments", "shipping", "notifications")
AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
SEEN: Final = click.option(
    "--seen", metavar="MARK", help="Refuse it when the order has changed since a --dry-run that told this mark."
)
DATABASE_URL: Final = click.option(
    "--database-url", metavar="URL", help="The ledger's database; else SAGA_DATABASE_URL, else that of the stack in --data-dir."
)
DATA_DIR: Final = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), default=".sagaledger", show_default=True,
    help="Folder of the stack that `saga up` runs.",
)  # fmt: skip


def at_place(command: Command) -> Command:
    """Give a command the installation it talks to, as its first parameter."""

    @DATABASE_URL
    @DATA_DIR
    @click.pass_obj
    @functools.wraps(command)
    def placed(given: str | None, /, database_url: str | None, data_dir: Path, **parameters: Any) -> Any:
        # Modules leave no garbage: looking for some while they are loaded takes a tenth of the time to an answer.
        gc.set_threshold(GC_THRESHOLD)
        from orchestrator.operations.place import find_place

        place = find_place(database_url or given, data_dir, databases_of)
        if isinstance(beginning := parameters.get("order_ledger_id"), Beginning):
            from orchestrator.operations.ledger_view import find_order

            parameters["order_ledger_id"] = find_order(place.database_url, beginning)
        return command(place, **parameters)

    return cast("Command", placed)


def operator(command: Command) -> Command:
    """Give a command what every act of an operator on an order takes."""
    dry_run = click.option("--dry-run", is_flag=True, help="Show the calls that would follow; change nothing.")
    command = by_somebody(dry_run(SEEN(command)))
    return at_place(click.argument("order_ledger_id", metavar="ID", type=ORDER_ID)(command))


def by_somebody(command: Command) -> Command:
    """Give a command what an act says that changes an order, or takes something away: who and why."""
    return click.option("--reason", required=True, type=TEXT, help="Why; is recorded.")(ACTOR(AS_JSON(command)))


def noted(command: Command) -> Command:
    """Give a command what any other act says: who and, if there is something to say, why."""
    return WHY(ACTOR(AS_JSON(command)))


def or_nothing(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str:
    """Return a text that need not be given."""
    return text or ""


def login_name() -> str:
    """Return who runs this; in a container it may be a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


WHY: Final = click.option("--reason", type=TEXT, callback=or_nothing, help="Why; is recorded.")
ACTOR: Final = click.option("--actor", type=TEXT, default=login_name, show_default="login name", help="Who; is recorded.")


def databases_of(ledger_url: str) -> Mapping[str, str]:
    """Return the participants' databases: as set, or beside the ledger."""
    from participants.settings import load_settings

    settings = load_settings(database_url=ledger_url)
    return {name: settings.database_url_of(name) for name in PARTICIPANTS}


def databases_beside(ledger_url: str) -> Mapping[str, str]:
    """Return the participants' databases wherever no setting may send them elsewhere."""
    from participants.settings import participant_database_url

    return {name: participant_database_url(ledger_url, name) for name in PARTICIPANTS}
