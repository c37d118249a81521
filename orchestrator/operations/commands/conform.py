"""`saga conform`: whether a participant of anybody's does what its contract says."""

import click

from orchestrator.operations.commands.shared import AS_JSON, PARTICIPANTS


@click.command()
@click.argument("url", metavar="URL")
@click.option("--contract", type=click.Choice(PARTICIPANTS), required=True, help="What the participant is to be.")
@click.option("--operation", "only", multiple=True, metavar="NAME", help="Try this operation alone; may be repeated.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, help="Seconds a call.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0, 60), default=1.0, show_default=True, help="Seconds before a late repeat."
)
@AS_JSON
@click.pass_context
def conform(
    context: click.Context, url: str, contract: str, only: tuple[str, ...], timeout_s: float, wait_s: float, as_json: bool
) -> None:
    """Try a participant: duplicates, undo first, late actions, races; exit 1 on a failure.

    It orders, holds, pays and sends for real: point it at a service for tests. All ids are new; what can be undone is undone.
    """
    from typing import cast

    from orchestrator.addresses import http_url
    from orchestrator.operations.conform import show_conformance
    from orchestrator.operations.conform_contracts import Contract

    try:
        url = http_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), context, param_hint="URL") from None
    context.exit(show_conformance(url, cast(Contract, contract), as_json, only=only, timeout_s=timeout_s, wait_s=wait_s))
