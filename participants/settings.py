"""Settings of a participant, from the environment or `.env`: where its database is, and who may call it."""

import re
from typing import Any, Final, Literal, get_args
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from participants.errors import SettingError
from sql.tracing import Mode

Name = Literal["orders", "inventory", "payments", "shipping", "notifications"]
"""The participants, in the order of their default ports."""

NAMES: Final[tuple[Name, ...]] = get_args(Name)
PORTS: Final[dict[Name, int]] = {name: 8101 + place for place, name in enumerate(NAMES)}

_SECRET: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,256}")
"""Visible ASCII without the comma, which is what a header can carry and the setting can hold."""


class ParticipantSettings(BaseSettings):
    """What an operator may set, each as `SAGA_<NAME>` unless said otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="SAGA_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr | None = Field(
        None, description="The ledger's database; a participant's is beside it, named <dbname>_<participant>."
    )
    orders_database_url: SecretStr | None = Field(None, description="Database of orders, when it is elsewhere.")
    inventory_database_url: SecretStr | None = Field(None, description="Database of inventory, when it is elsewhere.")
    payments_database_url: SecretStr | None = Field(None, description="Database of payments, when it is elsewhere.")
    shipping_database_url: SecretStr | None = Field(None, description="Database of shipping, when it is elsewhere.")
    notifications_database_url: SecretStr | None = Field(None, description="Database of notifications, when it is elsewhere.")
    environment: Literal["dev", "preview", "prod"] = Field(
        "dev", description="dev, preview or prod; outside dev a participant must have a secret."
    )
    orders_secret: SecretStr | None = Field(None, description="What callers of orders must send; `old,new` takes both.")
    inventory_secret: SecretStr | None = Field(None, description="What callers of inventory must send; as SAGA_ORDERS_SECRET.")
    payments_secret: SecretStr | None = Field(None, description="What callers of payments must send; as SAGA_ORDERS_SECRET.")
    shipping_secret: SecretStr | None = Field(None, description="What callers of shipping must send; as SAGA_ORDERS_SECRET.")
    notifications_secret: SecretStr | None = Field(
        None, description="What callers of notifications must send; as SAGA_ORDERS_SECRET."
    )
    participant_host: str = Field("127.0.0.1", description="Address to listen on.")
    participant_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port to listen on; 0 picks a free one; 8101 to 8105 by participant when unset.",
    )
    participant_pool_size: int = Field(
        16, ge=1, le=200, description="Most connections to the database that one participant holds."
    )
    reservation_s: float = Field(
        900.0, gt=0, le=31_536_000, description="Seconds for which a try holds stock or money, unless it is confirmed."
    )
    faults: bool = Field(False, description="Opens the /test routes, which make a participant misbehave.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Least severe log line that is written; at info, one for each request."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json, or console to be read by people; auto is console on a terminal in dev, else json."
    )
    traces: Mode = Field(
        "off", description="off, or otlp: spans go to an OpenTelemetry collector, which OTEL_… variables describe."
    )
    mock_latency_ms: int = Field(
        0,
        ge=0,
        le=60_000,
        validation_alias="MOCK_LATENCY_MS",
        description="Payments only, without prefix: time that the mock bank takes for each call, in milliseconds.",
    )
    mock_failure_rate: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        validation_alias="MOCK_FAILURE_RATE",
        description="Payments only, without prefix: share of calls that the mock bank fails, 0 to 1.",
    )

    def database_url_of(self, name: Name) -> str:
        """Return the address of a participant's database.

        Raises:
            SettingError: Neither its own address nor the ledger's is set, or the ledger's cannot be read.
        """
        own: SecretStr | None = getattr(self, f"{name}_database_url")
        if own is not None:
            return own.get_secret_value()
        if self.database_url is None:
            raise SettingError(f"No database for {name}: set SAGA_{name.upper()}_DATABASE_URL or SAGA_DATABASE_URL.")
        return participant_database_url(self.database_url.get_secret_value(), name)

    def secrets_of(self, name: Name) -> tuple[str, ...]:
        """Return the secrets that a participant accepts, the newest last; none where every caller is let in.

        Raises:
            SettingError: They can't be sent in a header, or there is none and this is not dev.
        """
        own: SecretStr | None = getattr(self, f"{name}_secret")
        if own is None:
            if self.environment != "dev":
                raise SettingError(
                    f"{name.capitalize()} has no secret, without which {self.environment} lets anybody in:"
                    f" set SAGA_{name.upper()}_SECRET."
                )
            return ()
        secrets = tuple(secret.strip() for secret in own.get_secret_value().split(","))
        if not all(_SECRET.fullmatch(secret) for secret in secrets):
            raise SettingError(
                f"SAGA_{name.upper()}_SECRET is wrong: a secret is up to 256 visible ASCII characters;"
                " two are divided by a comma."
            )
        return secrets

    def port_of(self, name: Name) -> int:
        """Return the port that a participant listens on; 0 for any free one."""
        return PORTS[name] if self.participant_port is None else self.participant_port


def load_settings(**given: Any) -> ParticipantSettings:
    """Read the settings; what is given (and not None) wins over the environment.

    Raises:
        SettingError: A value is wrong. The sentence names the setting, never its value.
    """
    try:
        return ParticipantSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0])
        name = field.upper() if field.upper().startswith("MOCK_") else f"SAGA_{field.upper()}"
        raise SettingError(f"{name} is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}.") from None


def participant_database_url(ledger_url: str, name: str) -> str:
    """Return the address of the database `<dbname>_<name>` beside the ledger's, as a URL.

    Args:
        ledger_url: Address of the ledger's database, as a URL or in libpq's key=value form.
        name: Name of the participant.

    Raises:
        SettingError: The ledger's address cannot be read.
    """
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(ledger_url).items() if value is not None}
    except psycopg.ProgrammingError:
        raise SettingError("SAGA_DATABASE_URL is wrong: it is not a PostgreSQL connection URL.") from None
    user, password = parts.pop("user", None), parts.pop("password", None)
    # libpq: without a name the database is called like the user.
    database = f"{parts.pop('dbname', None) or user or 'postgres'}_{name}"
    login = "" if user is None else quote(user, safe="")
    if password is not None:
        login += ":" + quote(password, safe="")
    place = ""
    if _fits_before_the_path(parts.get("host", "")):
        place = parts.pop("host")
        place = f"[{place}]" if ":" in place else place
        if "port" in parts:
            place += ":" + parts.pop("port")
    at = f"{login}@" if login else ""
    query = f"?{urlencode(parts, quote_via=quote, safe='/,:')}" if parts else ""
    return f"postgresql://{at}{place}/{quote(database, safe='')}{query}"


def _fits_before_the_path(host: str) -> bool:
    """Tell whether a host can stand before the path of a URL: not a socket's folder, not a list."""
    return bool(host) and "/" not in host and "," not in host
