"""Every command of `saga`: it says what it does within 80 columns, prints JSON where it prints data, and can be completed."""

import json
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from cli import saga
from sql.models import Status

OF_NO_DATA = {
    "up", "demo", "edge", "orchestrator", "participant", "bench",  # run something, and tell of it
    "completion", "definitions draw",  # print what another program reads
    "webhooks enable", "webhooks disable", "webhooks remove", "participants add", "participants remove",  # say a sentence
}  # fmt: skip
"""Commands without `--json`."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Each command that does something, by the words that are typed."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from leaves(each, (*path, name))
        if command.invoke_without_command:
            yield " ".join(path), command
    else:
        yield " ".join(path), command


LEAVES = dict(leaves(saga))


@pytest.mark.parametrize("words", LEAVES)
def test_help_fits_80_columns_and_says_what_the_command_does(words: str) -> None:
    shown = CliRunner().invoke(saga, [*words.split(), "--help"], terminal_width=80)

    if words == "bench":  # which hands it on
        return
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    assert LEAVES[words].help
    for parameter in LEAVES[words].params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name


def test_every_command_that_prints_data_prints_json() -> None:
    without = {words for words, command in LEAVES.items() if not any("--json" in p.opts for p in command.params)}

    assert without == OF_NO_DATA


@pytest.mark.parametrize(
    ("words", "typed", "offered"),
    [
        ("", "led", {"ledger"}),
        ("ledger list --status", "st", {"STUCK"}),
        ("ledger list --status", "", set(Status)),
        ("watch --status", "fa", {"FAILED"}),
        ("ledger list --saga", "place_", {"place_order", "place_unpaid_order"}),
        ("ledger retry --all --saga", "check", {"checkout_tcc"}),
        ("config show", "cancel", {"cancel_order"}),
        ("definitions draw", "deliver", {"deliver_order"}),
        ("drain --saga", "pay", {"pay_order"}),
        ("breaker hold", "pa", {"payments"}),
        ("participants remove", "in", {"inventory"}),
        ("participant", "sh", {"shipping"}),
        ("ledger resolve --as", "", {"completed", "failed"}),
        ("ledger", "s", {"show", "skip-step"}),
    ],
)
def test_what_can_be_known_without_a_database_is_completed(words: str, typed: str, offered: set[str]) -> None:
    completion = ShellComplete(saga, {}, "saga", "_SAGA_COMPLETE")

    assert {item.value for item in completion.get_completions(words.split(), typed)} == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell_asks_the_command_itself(shell: str) -> None:
    script = CliRunner().invoke(saga, ["completion", shell])

    assert script.exit_code == 0
    assert f"_SAGA_COMPLETE={shell}_complete" in script.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say one of ID, --all, --resume, --run and --runs"),
        (["--all", "--runs"], "say one of ID, --all, --resume, --run and --runs"),
        (["--all", "--reason", "r"], "Missing option '--status'"),
        (["--all", "--status", "STUCK"], "Missing option '--reason'"),
        (["--resume", "3", "--status", "STUCK"], "--status is not said with --resume"),
        (["--runs", "--reason", "r"], "--reason is not said with --runs"),
        (["00000000-0000-8000-8000-000000000000", "--reason", "r", "--rate", "1"], "--rate is not said with an order's ID"),
        (["--all", "--status", "COMPLETED", "--reason", "r"], "'COMPLETED' is not one of"),
    ],
)
def test_what_does_not_go_together_in_a_retry_is_refused(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(saga, ["ledger", "retry", *arguments])

    assert result.exit_code == 2
    assert told in result.output


def test_names_of_sagas_are_not_completed_where_settings_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_LEASE_S", json.dumps("soon"))
    completion = ShellComplete(saga, {}, "saga", "_SAGA_COMPLETE")

    assert completion.get_completions(["ledger", "list", "--saga"], "p") == []
