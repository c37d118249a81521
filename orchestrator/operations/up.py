"""`saga up`: a stack until somebody ends it."""

import asyncio
import os
import sys
from pathlib import Path
from secrets import token_urlsafe

from orchestrator.credentials import read_secrets
from orchestrator.loading import registered
from orchestrator.operations.exits import printable
from orchestrator.operations.place import checked_settings
from orchestrator.operations.plan import Databases, Listeners, Secrets, StackPlan
from orchestrator.operations.render import open_console
from orchestrator.operations.stack import Stack, run_until_signal, running_stack
from orchestrator.settings import Environment, Settings
from participants.settings import NAMES
from participants.settings import load_settings as load_participant_settings


def run_up(
    data_dir: Path,
    database_url: str | None,
    databases_of: Databases,
    *,
    replicas: int,
    port: int | None,
    admin_port: int | None,
) -> None:
    """Run a stack until Ctrl-C or SIGTERM.

    Args:
        data_dir: Its data folder.
        database_url: The ledger's database; None for SAGA_DATABASE_URL's, or else a PostgreSQL in the data folder.
        databases_of: Where the participants' databases are.
        replicas: Number of orchestrators.
        port: Of the edge; None for the setting's. With 0 all ports are free ones.
        admin_port: Of the admin listener; None for the setting's.

    Raises:
        StackError: It can't be started.
        SettingsError: A setting is wrong; nothing was started.
    """
    settings = checked_settings(database_url=database_url, port=port, admin_port=admin_port)
    registered(settings)  # before anything is started: what is wrong with a team's module is said once
    listeners = Listeners(
        host=settings.host,
        port=settings.port,
        admin_host=settings.admin_host,
        # With --port 0 nothing else may be in the way either.
        admin_port=0 if port == 0 and admin_port is None else settings.admin_port,
        free_participants=settings.port == 0,
    )
    url = settings.ledger_url() if settings.database_url is not None else None
    plan = StackPlan(data_dir, url, listeners, replicas, databases_of, dict(os.environ), secrets=_secrets(settings))
    asyncio.run(run_until_signal(_stay_up(plan)))


def _secrets(settings: Settings) -> Secrets:
    """Return the participants' secrets: as they are set, else outside dev new ones, which live as long as the stack."""
    given, own = read_secrets(settings), load_participant_settings(environment="dev")
    is_dev = settings.environment is Environment.DEV
    accepted: dict[str, tuple[str, ...]] = {}
    for name in NAMES:
        made = given.get(name) or (None if is_dev else token_urlsafe(32))
        accepted[name] = own.secrets_of(name) or ((made,) if made else ())
    accepted = {name: secrets for name, secrets in accepted.items() if secrets}
    return Secrets(sent={**{name: secrets[-1] for name, secrets in accepted.items()}, **given}, accepted=accepted)


async def _stay_up(plan: StackPlan) -> None:
    async with running_stack(plan, report=_report) as stack:
        _announce(stack, plan)
        await asyncio.Event().wait()


def _announce(stack: Stack, plan: StackPlan) -> None:
    console = open_console()
    lines = {"edge": stack.edge_url, "admin": stack.admin_url, **stack.participant_urls}
    lines["data"] = f"{plan.folder}  (addresses and process ids: {plan.folder / 'stack.json'})"
    for name, value in lines.items():
        console.print(f"{name:<14}{value}", markup=False, soft_wrap=True)
    console.print(f"{len(stack.orchestrators)} orchestrators; the stack is ready, Ctrl-C stops it", markup=False)
    sys.stdout.flush()


def _report(sentence: str) -> None:
    print(f"saga: {printable(sentence)}", file=sys.stderr, flush=True)
