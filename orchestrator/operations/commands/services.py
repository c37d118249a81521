"""`saga edge`, `saga orchestrator`, `saga participant`: one process each."""

import os

import click

from orchestrator.operations.commands.shared import DATABASE_URL, PARTICIPANTS


@click.command()
@DATABASE_URL
@click.pass_obj
def edge(given: str | None, /, database_url: str | None) -> None:
    """Run the edge API."""
    from edge_api.main import run
    from orchestrator.operations.place import checked_settings

    run(checked_settings(database_url=database_url or given))


@click.command()
@DATABASE_URL
@click.pass_obj
def orchestrator(given: str | None, /, database_url: str | None) -> None:
    """Run one orchestrator replica."""
    from orchestrator.logs import configure_logs
    from orchestrator.main import run
    from orchestrator.operations.place import checked_settings
    from sql.telling import is_readable

    settings = checked_settings(database_url=database_url or given)
    configure_logs(settings.log_level, readable=is_readable(settings.log_format, settings.environment))
    run(settings)


@click.command()
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
