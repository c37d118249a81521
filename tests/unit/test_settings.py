"""Settings that are wrong: each is refused with one sentence that names it and shows nothing of it."""

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from orchestrator.operations.environment import list_settings
from orchestrator.operations.place import checked_settings
from orchestrator.settings import Settings, SettingsError, load_settings
from participants.errors import SettingError
from participants.settings import ParticipantSettings
from participants.settings import load_settings as load_participant_settings

CANARY = "canary-7391"
ADDRESSES = [
    "",
    CANARY,
    f"//{CANARY}",
    f"ftp://{CANARY}",
    "http://",
    f"http://u:{CANARY}@h",
    f"http://h/?k={CANARY}",
    "http://h:99999",
]
ANYTHING = {"host", "admin_host", "participant_host", "api_keys", "allowed_hosts", "smtp_host"}
"""What can only be tried out; the listener, or the edge, refuses it with a sentence."""


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    for settings in (Settings, ParticipantSettings):
        for field in settings.model_fields:
            monkeypatch.delenv(f"SAGA_{field}".upper(), raising=False)


def bounds(field: FieldInfo) -> Iterator[str]:
    """Values right outside what the field takes."""
    for limit in field.metadata:
        if isinstance(limit, Ge):
            yield f"{float(str(limit.ge)) - 1:g}"
        elif isinstance(limit, Gt):
            yield f"{limit.gt}"
        elif isinstance(limit, Le | Lt):
            yield f"{float(str(limit.le if isinstance(limit, Le) else limit.lt)) + 1:.0f}"


def wrong(settings: type[Settings] | type[ParticipantSettings]) -> Iterator[Any]:
    """Every setting with every kind of value that it can't have."""
    for name, field in settings.model_fields.items():
        kind = str(field.annotation)
        if field.annotation is str and field.metadata and name.endswith("_url"):
            values = ADDRESSES
        elif field.annotation is bool:
            values = [CANARY, "2", "-1"]
        elif "int" in kind or "float" in kind:
            values = [CANARY, "nan", "inf", "1e400", "-1", "0x10", *bounds(field)]
        elif "SecretStr" in kind:
            values = [f"{CANARY}@host"] if name.endswith("database_url") and settings is Settings else []
        elif name in ANYTHING:
            values = []
        else:  # one of a few words
            values = [CANARY, "", "PROD "]
        variable = str(field.validation_alias or f"SAGA_{name}".upper())
        yield from (pytest.param(variable, value, id=f"{variable}={value}") for value in values)


@pytest.mark.parametrize(("name", "value"), list(wrong(Settings)))
def test_a_setting_that_is_wrong_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        checked_settings()

    assert re.fullmatch(rf"{name}: [^\n]+", str(caught.value))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [case for case in wrong(ParticipantSettings) if case.values[1]])
def test_a_participants_setting_that_is_wrong_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingError) as caught:
        load_participant_settings()

    assert re.fullmatch(rf"{name} is wrong: [^\n]+", str(caught.value))
    assert CANARY not in str(caught.value)


TELLING = re.compile(r"secret|token|password|(^|_)keys?(_|$)|database_url")
"""Of names of settings whose values nobody may see; addresses of databases have passwords in them."""
FORMED = {"oncall_secret": "whsec_" + b64encode(CANARY.encode() * 3).decode()}
"""Secrets that not every text can be."""


@pytest.mark.parametrize("settings", [Settings, ParticipantSettings])
def test_what_is_secret_is_masked_wherever_settings_are_shown(
    monkeypatch: pytest.MonkeyPatch, settings: type[Settings] | type[ParticipantSettings]
) -> None:
    secret = [name for name in settings.model_fields if TELLING.search(name)]
    values = {name: FORMED.get(name, f"{CANARY}@host" if name.endswith("database_url") else CANARY) for name in secret}
    for name, given in values.items():
        monkeypatch.setenv(f"SAGA_{name}".upper(), given)
    monkeypatch.setenv("SAGA_SMTP_USER", "saga")  # who has no password either
    made = settings()
    shown = f"{made!r} {made} {made.model_dump()} {made.model_dump_json()} {list_settings([settings])}"

    assert {"database_url"} < set(secret)
    for name in secret:
        assert isinstance(value := getattr(made, name), SecretStr), f"{name} is shown as it is"
        assert value.get_secret_value() == values[name]
        assert values[name] not in shown
    assert CANARY not in shown


def test_every_setting_is_tried_with_something_wrong() -> None:
    for settings in (Settings, ParticipantSettings):
        tried = {parameters.values[0] for parameters in wrong(settings)}
        secret = {name for name, field in settings.model_fields.items() if "SecretStr" in str(field.annotation)}
        left = {
            name
            for name, field in settings.model_fields.items()
            if str(field.validation_alias or f"SAGA_{name}".upper()) not in tried
        }
        assert left <= ANYTHING | secret, settings


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"SAGA_LEASE_S": "5"}, "SAGA_LEASE_S (5) must exceed one and a half times SAGA_STEP_TIMEOUT_S (5)"),
        ({"SAGA_STEP_TIMEOUT_S": "20"}, "SAGA_LEASE_S (30) must exceed"),
    ],
)
def test_a_lease_that_is_over_before_a_slow_call_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], part: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=re.escape(part)):
        checked_settings()


@pytest.mark.parametrize(
    "settings",
    [
        {"SAGA_RESERVATION_S": "60"},
        {"SAGA_RETRY_FIRST_S": "10"},
        {"SAGA_RETRY_ATTEMPTS": "7"},
        {"SAGA_STEP_TIMEOUT_S": "60", "SAGA_LEASE_S": "100"},
        {"SAGA_POLL_INTERVAL_S": "60"},
        {"SAGA_LEASE_S": "3600"},
    ],
    ids=lambda settings: "+".join(settings),
)
def test_a_try_that_expires_before_its_attempts_are_over_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    needed = r"SAGA_RESERVATION_S \([0-9]+\) must be at least ([0-9]+): "

    with pytest.raises(SettingsError, match=needed) as caught:
        checked_settings()

    monkeypatch.setenv("SAGA_RESERVATION_S", re.match(needed, str(caught.value))[1])  # type: ignore[index]
    checked_settings()


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("SAGA_LEASE", "SAGA_LEASE_S"),
        ("SAGA_POLL_INTERVAL", "SAGA_POLL_INTERVAL_S"),
        ("SAGA_ORDER_URL", "SAGA_ORDERS_URL"),
        ("SAGA_PARTICPANT_PORT", "SAGA_PARTICIPANT_PORT"),
    ],
)
def test_a_name_that_is_almost_a_settings_is_refused(monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str) -> None:
    monkeypatch.setenv(misspelt, CANARY)

    with pytest.raises(SettingsError, match=rf"^{misspelt}: there is no such setting; is {meant} meant\?$"):
        checked_settings()


@pytest.mark.parametrize("name", ["SAGA_SERVICE_HOST", "SAGA_TEST_DATABASE_URL", "SAGA_EDGE_PORT_8080_TCP", "LEASE_S"])
def test_a_name_that_is_like_none_is_somebody_elses(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, CANARY)

    checked_settings()


def test_secrets_show_nowhere() -> None:
    settings = Settings(database_url=SecretStr(f"postgresql://u:{CANARY}@h/d"), api_keys=SecretStr(f"ann={CANARY}"))

    assert CANARY not in repr(settings) + str(settings) + settings.model_dump_json()


def test_listeners_are_on_loopback_unless_told() -> None:
    assert {load_settings().host, load_settings().admin_host, load_participant_settings().participant_host} == {"127.0.0.1"}
