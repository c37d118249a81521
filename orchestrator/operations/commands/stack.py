"""`saga up` and `saga demo`: every part at once."""

from pathlib import Path
from typing import Any

import click

from orchestrator.operations.commands.shared import DATA_DIR, DATABASE_URL, databases_beside, databases_of


@click.command()
@click.option("--replicas", type=click.IntRange(1, 64), default=2, show_default=True, help="Orchestrators.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the edge API; 0: all ports are free ones. [8080]")
@click.option("--admin-port", type=click.IntRange(0, 65535), help="Port of the admin listener; 0 for a free one. [8090]")
@DATA_DIR
@DATABASE_URL
@click.pass_obj
def up(given: str | None, /, database_url: str | None, data_dir: Path, **listeners: Any) -> None:
    """Run the whole stack until Ctrl-C or SIGTERM, on a PostgreSQL of its own unless a database is given."""
    from orchestrator.operations.up import run_up

    run_up(data_dir, database_url or given, databases_of, **listeners)


@click.command()
@click.option("--orders", type=click.IntRange(1, 100_000), default=40, show_default=True, help="Orders to place.")
@click.option("--replay", type=click.Path(path_type=Path), metavar="FILE", help="Place the invoices of a file instead.")
@click.pass_context
def demo(context: click.Context, orders: int, replay: Path | None) -> None:
    """Show a stack at work: orders, faults, a lost replica, an audit; exit 0 when all went as it should."""
    from orchestrator.operations.demo import start_demo
    from orchestrator.sagas import SHIPPED

    if context.obj:
        raise click.UsageError("a demo brings a database of its own; leave out --database-url")
    context.exit(start_demo(orders, replay, databases_beside, SHIPPED))
