"""What participants want to see before they do anything: of each its own secret, which no other is ever sent."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from orchestrator.settings import Environment, Settings, SettingsError

if TYPE_CHECKING:
    from orchestrator.saga import Saga

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,63}")
SECRET: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,256}")
"""Visible ASCII without the comma, which is what a header can carry and the setting can hold."""


def read_secrets(settings: Settings) -> Mapping[str, str]:
    """Return the secret of each participant that has one, as `SAGA_PARTICIPANT_SECRETS` names them.

    Raises:
        SettingsError: It is not of the form `name=secret,name=secret`. The sentence shows no secret.
    """
    setting = settings.participant_secrets
    text = setting.get_secret_value().strip() if setting is not None else ""
    found: dict[str, str] = {}
    for number, entry in enumerate(text.split(",") if text else [], start=1):
        name, _, secret = entry.strip().partition("=")
        if not _NAME.fullmatch(name) or not SECRET.fullmatch(secret) or name in found:
            raise SettingsError(
                f"SAGA_PARTICIPANT_SECRETS: entry {number} must be name=secret, each participant once,"
                " the secret up to 256 visible ASCII characters without a comma"
            )
        found[name] = secret
    return found


def secrets_for(settings: Settings, participants: Iterable[str]) -> Mapping[str, str]:
    """Return the secrets with which a process calls these participants, and others that a saga may name later.

    Raises:
        SettingsError: They can't be read, or one is missing and this is not dev.
    """
    return demand(read_secrets(settings), participants, settings)


def demand(secrets: Mapping[str, str], participants: Iterable[str], settings: Settings) -> Mapping[str, str]:
    """Return these secrets, with which these participants are to be called.

    Raises:
        SettingsError: One is missing and this is not dev.
    """
    missing = sorted(set(participants) - secrets.keys())
    if missing and settings.environment is not Environment.DEV:
        raise SettingsError(
            f"SAGA_PARTICIPANT_SECRETS: there is none for {', '.join(missing)}, without which {settings.environment}"
            " calls nobody; set name=secret,name=secret"
        )
    return secrets


def called_by(sagas: "Iterable[Saga[Any]]") -> set[str]:
    """Return the participants that sagas call."""
    return {endpoint.participant for saga in sagas for step in saga.calls for endpoint in step.endpoints}


def authorization(secret: str | None) -> dict[str, str]:
    """Return the header that shows a secret; none for None."""
    return {} if secret is None else {"Authorization": f"Bearer {secret}"}
