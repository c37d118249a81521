"""The command `saga`: which commands there are; each is in `orchestrator/operations/commands/`."""

import click

from orchestrator.operations import lifeline
from orchestrator.operations.commands import (
    audit,
    bench,
    checks,
    completion,
    config,
    conform,
    definitions,
    events,
    fleet,
    keys,
    ledger,
    personal,
    purge,
    reconcile,
    schema,
    services,
    stack,
    watch,
    webhooks,
)
from orchestrator.operations.exits import run_command


def main() -> None:
    """Run a command and end the process: 0 done, 1 failed, 2 wrongly asked for."""
    lifeline.attach()
    run_command(saga, "saga")


def _show_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from orchestrator.version import version

        click.echo(f"saga {version()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version.")
@click.option("--database-url", metavar="URL", help="The ledger's database; else SAGA_DATABASE_URL.")
@click.pass_context
def saga(context: click.Context, database_url: str | None) -> None:
    """Run and look after Sagaledger, a saga orchestrator on PostgreSQL."""
    context.obj = database_url


for _command in (
    stack.up,
    stack.demo,
    schema.migrate,
    services.edge,
    services.orchestrator,
    services.participant,
    ledger.ledger,
    watch.watch,
    events.events,
    webhooks.webhooks,
    webhooks.outbox,
    checks.stats,
    checks.health,
    audit.audit,
    reconcile.reconcile,
    purge.purge,
    personal.erase_customer,
    config.config,
    config.drain,
    definitions.definitions,
    fleet.breaker,
    fleet.participants,
    keys.keys,
    keys.acts,
    conform.conform,
    bench.bench,
    completion.completion,
):
    saga.add_command(_command)


if __name__ == "__main__":
    main()
