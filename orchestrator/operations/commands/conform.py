"""`saga conform`: whether a participant of anybody's does what its contract says."""

import os
from typing import Any, TextIO, cast

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
@click.option("--secret-file", type=click.File(), metavar="FILE", help="Holds the secret that the participant wants to see.")
@click.option("--secret-env", metavar="NAME", help="Variable that holds it.")
@AS_JSON
@click.pass_context
def conform(
    context: click.Context,
    /,
    url: str,
    contract: str,
    secret_file: TextIO | None,
    secret_env: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Try a participant: duplicates, undo first, late actions, races; exit 1 on a failure.

    It orders, holds, pays and sends for real: point it at a service for tests. All ids are new; what can be undone is undone.
    The secret in SAGA_PARTICIPANT_SECRETS is shown only to the address that the settings have for this participant.
    """
    from orchestrator.addresses import http_url
    from orchestrator.credentials import SECRET, read_secrets
    from orchestrator.operations.audit_log import Asking
    from orchestrator.operations.conform import show_conformance
    from orchestrator.operations.conform_contracts import Contract
    from orchestrator.operations.place import checked_settings

    if secret_file and secret_env:
        raise click.UsageError("give --secret-file or --secret-env, not both", context)
    settings = checked_settings()
    try:
        url = http_url(url, settings.participant_reach)
    except ValueError as error:
        raise click.BadParameter(str(error), context, param_hint="URL") from None
    if secret_env and not os.environ.get(secret_env):
        raise click.BadParameter(f"the variable {secret_env} is not set", context, param_hint="--secret-env")
    given = secret_file.read().strip() if secret_file else os.environ[secret_env] if secret_env else None
    if given is not None and not SECRET.fullmatch(given):
        raise click.BadParameter("it holds no secret of up to 256 visible ASCII characters without a comma", context)
    # An address that somebody typed is shown no secret that is another's.
    known = read_secrets(settings) if settings.participants.get(contract) == url else {}
    secrets = known if given is None else {contract: given}
    asking = Asking(settings.participant_reach, secrets)
    context.exit(show_conformance(url, cast(Contract, contract), as_json, asking=asking, **how))
