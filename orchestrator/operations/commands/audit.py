"""`saga audit`: whether everything is as it must be, was written as it stands, and whether the core decides today as it did."""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import click

from orchestrator.operations.commands.shared import AS_JSON, DATA_DIR, DATABASE_URL, at_place, databases_of
from orchestrator.operations.parameters import ORDER_ID

if TYPE_CHECKING:
    from orchestrator.operations.place import Place

CHECKPOINT: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
KEY_FILE: Final = click.option(
    "--key-file", type=CHECKPOINT, metavar="FILE", help="The key that signs checkpoints (HMAC-SHA256)."
)


@click.group(invoke_without_command=True)
@click.option("--questions", is_flag=True, help="Answer an auditor's questions too.")
@DATABASE_URL
@DATA_DIR
@AS_JSON
@click.pass_context
def audit(context: click.Context, questions: bool, database_url: str | None, data_dir: Path, as_json: bool) -> None:
    """Check every invariant, and compare the ledger with what the participants did; exit 1 on a violation."""
    context.obj = database_url or context.obj
    if context.invoked_subcommand is not None:
        return
    from orchestrator.operations.checking import show_audit
    from orchestrator.operations.place import checked_settings, find_place

    place = find_place(context.obj, data_dir, databases_of)
    context.exit(show_audit(place, checked_settings(), as_json, questions=questions))


@audit.command()
@click.argument("order_ledger_id", metavar="[ID]", type=ORDER_ID, required=False)
@click.option("--all", "every", is_flag=True, help="Replay the journal of every order, as without ID.")
@at_place
@AS_JSON
@click.pass_context
def replay(context: click.Context, place: "Place", order_ledger_id: UUID | None, every: bool, as_json: bool) -> None:
    """Run the journal of an order, or of all, through the core and compare every decision; exit 1 when one differs."""
    from orchestrator.operations.retracing import show_replay

    if order_ledger_id is not None and every:
        raise click.UsageError("name an order or ask for --all, not both", context)
    context.exit(show_replay(place.database_url, order_ledger_id, as_json=as_json))


@audit.command()
@click.argument("order_ledger_id", metavar="[ID]", type=ORDER_ID, required=False)
@click.option("--all", "every", is_flag=True, help="Verify the journal of every order, as without ID.")
@click.option(
    "--against", type=CHECKPOINT, metavar="FILE", help="Compare with a checkpoint too: it shows what was written anew."
)
@KEY_FILE
@at_place
@AS_JSON
@click.pass_context
def verify(
    context: click.Context,
    place: "Place",
    order_ledger_id: UUID | None,
    every: bool,
    against: Path | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Verify the hash chain of an order's journal, or of all; exit 1 where an entry was altered, removed or put in."""
    from orchestrator.operations.verifying import show_verify

    if order_ledger_id is not None and every:
        raise click.UsageError("name an order or ask for --all, not both", context)
    if key_file is not None and against is None:
        raise click.UsageError("--key-file is of a checkpoint: give --against too", context)
    context.exit(show_verify(place.database_url, order_ledger_id, against=against, key_file=key_file, as_json=as_json))


@audit.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to; else to stdout.")
@KEY_FILE
@at_place
@AS_JSON
def checkpoint(place: "Place", out: Path | None, key_file: Path | None, as_json: bool) -> None:
    """Note down where the journal of every order ends, for `verify --against`; keep it where no writer of the ledger can."""
    from orchestrator.operations.verifying import show_checkpoint

    show_checkpoint(place.database_url, out=out, key_file=key_file, as_json=as_json)
