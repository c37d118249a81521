"""The secrets with which participants are called, as the setting names them."""

import pytest

from orchestrator.credentials import called_by, read_secrets, secrets_for
from orchestrator.sagas import SHIPPED
from orchestrator.settings import Environment, Settings, SettingsError

NAMES = ["inventory", "notifications", "orders", "payments", "shipping"]


def settings(secrets: str | None, environment: Environment = Environment.DEV) -> Settings:
    return Settings(participant_secrets=secrets, environment=environment)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (None, {}),
        ("", {}),
        ("payments=s", {"payments": "s"}),
        (" payments=s , our-bank.2=a=b== ", {"payments": "s", "our-bank.2": "a=b=="}),
    ],
)
def test_each_participant_has_its_own(text: str | None, secrets: dict[str, str]) -> None:
    assert read_secrets(settings(text)) == secrets


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("canary", 1),
        ("payments=", 1),
        ("=canary", 1),
        ("payments=canary,", 2),
        ("payments=can ary", 1),
        ("payments=canary\r\nX: 1", 1),
        ("payments=canär", 1),
        ("payments=" + "c" * 257, 1),
        ("payments=s,payments=canary", 2),
    ],
)
def test_what_no_header_can_carry_is_told_and_not_shown(text: str, entry: int) -> None:
    with pytest.raises(SettingsError, match=rf"^SAGA_PARTICIPANT_SECRETS: entry {entry} must be name=secret") as caught:
        read_secrets(settings(text))

    assert "can" not in str(caught.value)
    assert "canary" not in repr(settings(text))


def test_outside_dev_every_participant_that_is_called_needs_one() -> None:
    assert sorted(called_by(SHIPPED)) == NAMES
    assert secrets_for(settings(None), NAMES) == {}
    for environment in (Environment.PREVIEW, Environment.PROD):
        with pytest.raises(SettingsError, match=r"^SAGA_PARTICIPANT_SECRETS: there is none for inventory, shipping, without"):
            secrets_for(settings("payments=a,orders=b,notifications=c", environment), NAMES)
        assert secrets_for(settings("payments=a,parcels=b", environment), ["payments"]) == {"payments": "a", "parcels": "b"}
