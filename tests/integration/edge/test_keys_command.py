"""`saga keys` and `saga acts`: keys as operators make and end them, and the record of who did what."""

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.commands import assert_told, saga

BY = ("--actor", "ann", "--reason", "a test")


def run(url: str, folder: Path, *arguments: str) -> Any:
    done = saga(*arguments, cwd=folder, SAGA_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def test_a_key_is_made_listed_rotated_and_revoked_and_shown_once(ledger_url: str, tmp_path: Path) -> None:
    told = run(
        ledger_url, tmp_path, "keys", "create", "shop", "--scope", "events", "--scope", "orders", "--note", "till 1", *BY
    )
    key = told.split()[-1]
    key_id, _, secret = key.partition(".")
    assert re.fullmatch(r"sgl_[a-z0-9]{16}\.[A-Za-z0-9_-]{43}", key)
    assert f"{key_id} is a key of shop for events and orders" in told
    made = run(ledger_url, tmp_path, "keys", "create", "ops", "--scope", "admin", "--expires-days", "30", "--json")
    assert (made["client_id"], made["scopes"]) == ("ops", ["admin"])
    assert made["expires_at"]

    rotated = run(ledger_url, tmp_path, "keys", "rotate", key_id, "--overlap-s", "3600", "--json", *BY)
    run(ledger_url, tmp_path, "keys", "revoke", made["key_id"], *BY)

    listed = run(ledger_url, tmp_path, "keys", "list", "--json")["keys"]
    states = {each["key_id"]: (each["client_id"], each["state"], each["note"], each["replaces"]) for each in listed}
    assert states == {
        key_id: ("shop", "in force", "till 1", None),
        rotated["key_id"]: ("shop", "in force", "till 1", key_id),
        made["key_id"]: ("ops", "revoked", "", None),
    }
    table = run(ledger_url, tmp_path, "keys", "list", "--client", "shop")
    assert len(table.splitlines()) == 3
    assert secret not in json.dumps(listed) + table
    acts = run(ledger_url, tmp_path, "acts", "--json")["acts"]
    assert [(each["act"], each["subject"]) for each in acts] == [
        ("revoke_key", made["key_id"]),
        ("rotate_key", key_id),
        ("create_key", made["key_id"]),
        ("create_key", key_id),
    ]
    assert {each["actor"] for each in acts if each["subject"] == key_id} == {"ann"}
    assert secret not in json.dumps(acts)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "shop"), 2, "--scope"),
        (("create", "shop", "--scope", "everything"), 2, "everything"),
        (("create", "a shop", "--scope", "orders"), 2, "letters, digits"),
        (("create", "shop", "--scope", "orders", "--expires-days", "0"), 2, "--expires-days"),
        (("rotate", "sgl_none"), 1, "there is no key sgl_none"),
        (("revoke", "sgl_none"), 2, "--reason"),
        (("revoke", "sgl_none", "--reason", "x"), 1, "there is no key sgl_none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_can_not_be_is_refused_with_a_sentence(
    ledger_url: str, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert_told(saga("keys", *arguments, cwd=tmp_path, SAGA_DATABASE_URL=ledger_url), code, said)


def test_a_key_that_has_ended_is_not_ended_again(ledger_url: str, tmp_path: Path) -> None:
    made = run(ledger_url, tmp_path, "keys", "create", "shop", "--scope", "orders", "--json")
    run(ledger_url, tmp_path, "keys", "revoke", made["key_id"], *BY)

    for verb in ("rotate", "revoke"):
        again = saga("keys", verb, made["key_id"], *BY, cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)
        assert_told(again, 1, "is revoked already")
    assert len(run(ledger_url, tmp_path, "keys", "list", "--json")["keys"]) == 1
    assert len(run(ledger_url, tmp_path, "acts", "--json")["acts"]) == 2


def test_a_key_is_rotated_once_and_then_the_one_in_its_place(ledger_url: str, tmp_path: Path) -> None:
    first = run(ledger_url, tmp_path, "keys", "create", "shop", "--scope", "orders", "--json")
    second = run(ledger_url, tmp_path, "keys", "rotate", first["key_id"], "--overlap-s", "60", "--json", *BY)

    again = saga("keys", "rotate", first["key_id"], *BY, cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)

    assert_told(again, 1, f"was rotated to {second['key_id']} already")
    assert run(ledger_url, tmp_path, "keys", "rotate", second["key_id"], "--json", *BY)["expires_at"] is None


@pytest.mark.parametrize(
    "statement",
    [
        "delete from api_key",
        "truncate api_key cascade",
        "update api_key set scopes = '{admin}'",
        "update api_key set client_id = 'other'",
        "update api_key set secret_hash = sha256('mine')",
        "update operator_act set actor = 'nobody'",
        "delete from operator_act",
        "truncate operator_act",
    ],
)
def test_keys_and_acts_are_not_changed_behind_the_back_of_the_record(ledger_url: str, tmp_path: Path, statement: str) -> None:
    run(ledger_url, tmp_path, "keys", "create", "shop", "--scope", "orders", *BY)

    with psycopg.connect(ledger_url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        conn.execute(statement)  # type: ignore[arg-type]


def test_who_does_what_with_webhooks_participants_and_breakers_is_recorded(ledger_url: str, tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/hook"
    acts: dict[tuple[str, ...], str] = {
        ("webhooks", "add", "crm", url, "--client", "shop"): "add_webhook",
        ("webhooks", "rotate", "crm"): "rotate_webhook",
        ("webhooks", "disable", "crm"): "disable_webhook",
        ("webhooks", "enable", "crm"): "enable_webhook",
        ("webhooks", "remove", "crm"): "remove_webhook",
        ("participants", "add", "crm", "http://127.0.0.1:9"): "add_participant",
        ("breaker", "hold", "crm"): "hold_breaker",
        ("breaker", "reset", "crm"): "reset_breaker",
        ("participants", "remove", "crm"): "remove_participant",
        ("outbox", "replay", "--all"): "replay_dead",
    }
    for arguments in acts:
        run(ledger_url, tmp_path, *arguments, *BY)

    recorded = run(ledger_url, tmp_path, "acts", "--json")["acts"]
    assert [each["act"] for each in recorded] == [*reversed(acts.values())]
    assert {(each["actor"], each["reason"]) for each in recorded} == {("ann", "a test")}
    assert {each["subject"] for each in recorded} == {"crm", "all"}
    assert recorded[-1]["details"] == {"url": url, "types": [], "client_id": "shop"}
    assert "by ann: a test" in run(ledger_url, tmp_path, "acts", "--subject", "crm")
