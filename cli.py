"""The command `saga`: each command a few lines over the packages below.

Packages are imported by the commands that need them: a participant starts without the orchestrator, `--help` without any.
"""

import contextlib
import functools
import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import UUID

import click

from orchestrator.operations import lifeline
from orchestrator.operations.exits import run_command
from orchestrator.operations.parameters import STATUS, TEXT, TIME

if TYPE_CHECKING:
    from orchestrator.operations.place import Place

Command = TypeVar("Command", bound=Callable[..., Any])
PARTICIPANTS: Final = ("orders", "inventory", "payments", "shipping", "notifications")
AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
DATABASE_URL: Final = click.option(
    "--database-url", metavar="URL", help="The ledger's database; else SAGA_DATABASE_URL, else that of the stack in --data-dir."
)
DATA_DIR: Final = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), default=".sagaledger", show_default=True,
    help="Folder of the stack that `saga up` runs.",
)  # fmt: skip


def _at_place(command: Command) -> Command:
    """Give a command the installation it talks to, as its first parameter."""

    @DATABASE_URL
    @DATA_DIR
    @click.pass_obj
    @functools.wraps(command)
    def at_place(given: str | None, /, database_url: str | None, data_dir: Path, **parameters: Any) -> Any:
        from orchestrator.operations.place import find_place

        return command(find_place(database_url or given, data_dir, _databases_of), **parameters)

    return cast("Command", at_place)


def main() -> None:
    """Run a command and end the process: 0 done, 1 failed, 2 wrongly asked for."""
    lifeline.attach()
    run_command(saga, "saga")


def _show_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    from importlib import metadata

    if asked:
        with contextlib.suppress(metadata.PackageNotFoundError):
            click.echo(f"saga {metadata.version('sagaledger')}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version.")
@click.option("--database-url", metavar="URL", help="The ledger's database; else SAGA_DATABASE_URL.")
@click.pass_context
def saga(context: click.Context, database_url: str | None) -> None:
    """Run and look after Sagaledger, a saga orchestrator on PostgreSQL."""
    context.obj = database_url


@saga.command()
@click.option("--replicas", type=click.IntRange(1, 64), default=2, show_default=True, help="Orchestrators.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the edge API; 0: all ports are free ones. [8080]")
@click.option("--admin-port", type=click.IntRange(0, 65535), help="Port of the admin listener; 0 for a free one. [8090]")
@DATA_DIR
@DATABASE_URL
@click.pass_obj
def up(given: str | None, /, database_url: str | None, data_dir: Path, **listeners: Any) -> None:
    """Run the whole stack until Ctrl-C or SIGTERM, on a PostgreSQL of its own unless a database is given."""
    from orchestrator.operations.up import run_up

    run_up(data_dir, database_url or given, _databases_of, **listeners)


@saga.command()
@click.option("--orders", type=click.IntRange(1, 100_000), default=40, show_default=True, help="Orders to place.")
@click.option("--replay", type=click.Path(path_type=Path), metavar="FILE", help="Place the invoices of a file instead.")
@click.pass_context
def demo(context: click.Context, orders: int, replay: Path | None) -> None:
    """Show a stack at work: orders, faults, a lost replica, an audit; exit 0 when all went as it should."""
    from orchestrator.operations.demo import start_demo
    from orchestrator.sagas import SHIPPED

    if context.obj:
        raise click.UsageError("a demo brings a database of its own; leave out --database-url")
    context.exit(start_demo(orders, replay, _databases_beside, SHIPPED))


@saga.group(invoke_without_command=True)
@click.option("--dry-run", is_flag=True, help="Only show what would be applied.")
@DATABASE_URL
@DATA_DIR
@AS_JSON
@click.pass_context
def migrate(context: click.Context, dry_run: bool, database_url: str | None, data_dir: Path, as_json: bool) -> None:
    """Create the ledger's and the participants' databases and bring them to the newest schema."""
    from orchestrator.operations import schema
    from orchestrator.operations.place import find_place

    context.obj = database_url or context.obj
    if context.invoked_subcommand is None:
        databases = find_place(context.obj, data_dir, _databases_of).databases
        (schema.show_status if dry_run else schema.apply_and_show)(databases, as_json)


@migrate.command()
@_at_place
@AS_JSON
def status(place: "Place", as_json: bool) -> None:
    """Show which migrations each database has had and lacks; changes nothing."""
    from orchestrator.operations import schema

    schema.show_status(place.databases, as_json)


@saga.command()
@DATABASE_URL
@click.pass_obj
def edge(given: str | None, /, database_url: str | None) -> None:
    """Run the edge API."""
    from edge_api.main import run
    from orchestrator.operations.place import service_settings

    run(service_settings(database_url or given))


@saga.command()
@DATABASE_URL
@click.pass_obj
def orchestrator(given: str | None, /, database_url: str | None) -> None:
    """Run one orchestrator replica."""
    from orchestrator.logs import configure_logs
    from orchestrator.main import run
    from orchestrator.operations.place import service_settings

    settings = service_settings(database_url or given)
    configure_logs(settings.log_level)
    run(settings)


@saga.command()
@click.argument("name", type=click.Choice(PARTICIPANTS))
@click.option("--host", help="Address to listen on. [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on. [8101 to 8105, by participant]")
@DATABASE_URL
@click.pass_obj
def participant(given: str | None, /, database_url: str | None, name: str, host: str | None, port: int | None) -> None:
    """Run one of the participants."""
    from participants.main import run

    if database_url or given:
        os.environ["SAGA_DATABASE_URL"] = str(database_url or given)
    run(name, host, port)


@saga.group()
def ledger() -> None:
    """Look at orders, and act on them."""


@ledger.command("list")
@click.option("--status", type=STATUS, help="Only orders of this status.")
@click.option("--saga", help="Only orders of this saga.")
@click.option("--customer", help="Only orders of this customer.")
@click.option("--since", type=TIME, help="Only orders created at this time or later, ISO 8601; UTC where no zone is said.")
@click.option("--stuck", is_flag=True, help="Only orders that need an operator.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most orders to show.")
@click.option("--cursor", help="Go on where a page ended: its `next_cursor`.")
@_at_place
@AS_JSON
def list_orders(place: "Place", **filters: Any) -> None:
    """List orders, newest first."""
    from orchestrator.operations import ledger_view

    ledger_view.show_list(place.database_url, **filters)


@ledger.command()
@click.argument("order_ledger_id", metavar="ID", type=click.UUID)
@_at_place
@AS_JSON
def show(place: "Place", order_ledger_id: UUID, as_json: bool) -> None:
    """Show one order: its row, items, steps and journal."""
    from orchestrator.operations import ledger_view

    ledger_view.show_order(place.database_url, order_ledger_id, as_json=as_json)


def _operator(command: Command) -> Command:
    """Give a command what every act of an operator takes."""
    command = AS_JSON(command)
    command = click.option("--dry-run", is_flag=True, help="Show the calls that would follow; change nothing.")(command)
    command = click.option("--actor", default=getpass.getuser, show_default="login name", help="Who; is recorded.")(command)
    command = click.option("--reason", required=True, type=TEXT, help="Why; is recorded.")(command)
    return _at_place(click.argument("order_ledger_id", metavar="ID", type=click.UUID)(command))


@ledger.command()
@_operator
def retry(place: "Place", **asked: Any) -> None:
    """Let a STUCK order go on, or place a FAILED one anew."""
    from orchestrator.operations import verbs

    verbs.act("retry", place.database_url, **asked)


@ledger.command()
@_operator
def cancel(place: "Place", **asked: Any) -> None:
    """Have an order that is on its way undone."""
    from orchestrator.operations import verbs

    verbs.act("cancel", place.database_url, **asked)


@saga.command()
@_at_place
@AS_JSON
def stats(place: "Place", as_json: bool) -> None:
    """Show counts, rates and percentiles of the ledger."""
    from orchestrator.operations import ledger_view

    ledger_view.show_statistics(place.database_url, as_json=as_json)


@saga.command()
@click.option("--only", metavar="NAME", help="Ask one part: database, edge, orchestrator or a participant's name.")
@_at_place
@AS_JSON
@click.pass_context
def health(context: click.Context, place: "Place", only: str | None, as_json: bool) -> None:
    """Ask every part whether it is well; exit 1 when one is not or can't be reached."""
    from orchestrator.operations import checking
    from orchestrator.operations.health import part_names

    if only is not None and only not in part_names(place):
        raise click.UsageError(f"there is no part {only!r} here, only {', '.join(part_names(place))}", context)
    context.exit(checking.show_health(place, only, as_json))


@saga.command()
@click.option("--questions", is_flag=True, help="Answer an auditor's questions too.")
@_at_place
@AS_JSON
@click.pass_context
def audit(context: click.Context, place: "Place", questions: bool, as_json: bool) -> None:
    """Check every invariant, and compare the ledger with what the participants did; exit 1 on a violation."""
    from orchestrator.operations.checking import show_audit
    from orchestrator.sagas import SHIPPED

    context.exit(show_audit(place, SHIPPED, as_json, questions=questions))


@saga.group()
def config() -> None:
    """Show settings."""


@config.command()
@AS_JSON
def env(as_json: bool) -> None:
    """Show every setting with its default and what it means."""
    from orchestrator.operations.environment import show_settings
    from orchestrator.settings import Settings
    from participants.settings import ParticipantSettings

    show_settings((Settings, ParticipantSettings), as_json)


def _databases_of(ledger_url: str) -> Mapping[str, str]:
    from participants.settings import load_settings

    settings = load_settings(database_url=ledger_url)
    return {name: settings.database_url_of(name) for name in PARTICIPANTS}


def _databases_beside(ledger_url: str) -> Mapping[str, str]:
    """Return the participants' databases wherever no setting may send them elsewhere."""
    from participants.settings import participant_database_url

    return {name: participant_database_url(ledger_url, name) for name in PARTICIPANTS}


if __name__ == "__main__":
    main()
