"""What commands take for an address, a name, a time span and a reason, what they refuse, and who asked."""

import os
import pwd
from typing import NoReturn
from uuid import UUID

import click
import pytest

from orchestrator.configuring import FAILURE_RATE_MAX, ORDERS_MIN
from orchestrator.operations.commands import config, webhooks
from orchestrator.operations.commands.shared import login_name
from orchestrator.operations.parameters import ADDRESS, DURATION, NAME, ORDER_ID, TEXT, Beginning
from orchestrator.webhooks.subscribing import GRACE_S


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://inventory:8102/", "http://inventory:8102"),
        ("https://inventory.example/api", "https://inventory.example/api"),
        ("http://127.0.0.1:8102", "http://127.0.0.1:8102"),
        ("http://[::1]:8102", "http://[::1]:8102"),
    ],
)
def test_an_address_is_taken_without_its_last_slash(given: str, taken: str) -> None:
    assert ADDRESS.convert(given, None, None) == taken


@pytest.mark.parametrize(
    "given",
    [
        "", "inventory", "ftp://inventory", "http://", "http://x:99999", "http://x:0", "http://x y", "http://x\n",
        "http://user:canary@x", "http://x?a=b", "http://x#a", "http://[::1",
        "http://169.254.169.254/latest", "http://[fe80::1]", "http://224.0.0.1", "http://0.0.0.0:80", "http://[::]:80",
        "http://2852039166", "http://0xA9FEA9FE", "http://0251.0376.43518", "http://[::ffff:169.254.169.254]", "http://0",
    ],
)  # fmt: skip
def test_what_no_participant_can_have_is_refused_without_repeating_it(given: str) -> None:
    with pytest.raises(click.BadParameter, match=r"^must (not )?be ") as refused:
        ADDRESS.convert(given, None, None)

    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("given", ["0198c0de-0000-8000-8000-000000000001", "0198C0DE00008000800000000000000001"[:32]])
def test_a_whole_id_is_an_order(given: str) -> None:
    assert ORDER_ID.convert(given, None, None) == UUID(given)


def test_the_beginning_of_an_id_is_all_ids_that_begin_so() -> None:
    beginning = ORDER_ID.convert("0198C0DE-01", None, None)

    assert isinstance(beginning, Beginning)
    assert [str(end) for end in beginning.span] == [
        "0198c0de-0100-0000-0000-000000000000",
        "0198c0de-01ff-ffff-ffff-ffffffffffff",
    ]


@pytest.mark.parametrize("given", ["", "0198c0d", "0198c0dg", "0" * 33, "%" * 8])
def test_what_begins_no_id_is_refused(given: str) -> None:
    with pytest.raises(click.BadParameter):
        ORDER_ID.convert(given, None, None)


@pytest.mark.parametrize("given", ["", "Inventory", "1st", "a b", "a" * 64, "../x", "é"])
def test_a_name_is_short_and_plain(given: str) -> None:
    with pytest.raises(click.BadParameter):
        NAME.convert(given, None, None)


@pytest.mark.parametrize("given", ["inventory", "a", "stock-2_b", "a" * 63])
def test_a_plain_name_is_taken(given: str) -> None:
    assert NAME.convert(given, None, None) == given


@pytest.mark.parametrize(("given", "taken_s"), [("90s", 90.0), ("10m", 600.0), ("2h", 7_200.0), ("1d", 86_400.0), ("1.5", 1.5)])
def test_a_time_span_is_a_number_and_a_unit(given: str, taken_s: float) -> None:
    assert DURATION.convert(given, None, None) == taken_s


@pytest.mark.parametrize("given", ["", "0s", "-1s", "1w", "1 m", "m", "nan", "1e3", "inf"])
def test_what_is_no_time_span_is_refused(given: str) -> None:
    with pytest.raises(click.BadParameter, match="must be a number above 0 and a unit"):
        DURATION.convert(given, None, None)


def test_a_reason_says_something_and_no_novel() -> None:
    assert TEXT.convert(f" {'x' * 500} ", None, None) == "x" * 500

    for given, says in ((" ", "must not be empty"), ("x" * 501, "must have at most 500 characters")):
        with pytest.raises(click.BadParameter, match=says):
            TEXT.convert(given, None, None)


def test_who_has_no_login_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)

    assert login_name() == f"uid {os.getuid()}"


def test_what_is_not_said_is_the_same_at_the_command_line_and_over_http() -> None:
    canary = {option.name: option.default for option in config.apply.params}
    rotation = {option.name: option.default for option in webhooks.rotate.params}

    assert (canary["failure_rate_max"], canary["orders_min"]) == (FAILURE_RATE_MAX, ORDERS_MIN)
    assert rotation["grace"] * 3600 == GRACE_S
