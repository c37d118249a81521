"""`saga config`: settings, and what sagas run with."""

import click

from orchestrator.operations.commands.shared import AS_JSON


@click.group()
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
