"""`saga bench`: measure this project beside its peers; needs the checkout."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import click

CHECKOUT: Final = Path(__file__).resolve().parents[3]


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def bench(context: click.Context, options: tuple[str, ...]) -> None:
    """Measure it beside its peers; `saga bench --help` lists what."""
    if not (CHECKOUT / "bench" / "__main__.py").is_file():
        raise click.ClickException("the benchmark is not part of the package: run `make bench` in a checkout of the source")
    with_peers = CHECKOUT / ".venv-bench" / "bin" / "python"
    python = str(with_peers) if with_peers.is_file() else sys.executable
    context.exit(subprocess.run([python, "-m", "bench", *options], cwd=CHECKOUT, check=False).returncode)
