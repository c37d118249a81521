"""`saga completion`: what a shell needs to complete commands."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that has a shell complete commands, options, statuses, sagas and participants.

    bash: saga completion bash > ~/.local/share/bash-completion/completions/saga

    zsh: saga completion zsh > ~/.zfunc/_saga, where ~/.zfunc is in fpath

    fish: saga completion fish > ~/.config/fish/completions/saga.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(context.find_root().command, {}, "saga", "_SAGA_COMPLETE")
    # Not `made.source()`: for bash that runs bash, to ask for its version.
    click.echo(made.source_template % made.source_vars())
