"""Settings of the edge and the orchestrators: one class, from the environment or `.env`, prefix `SAGA_`.

`saga config env` prints each with its default and meaning.
"""

import math
from dataclasses import replace
from enum import StrEnum
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from orchestrator.addresses import HttpUrl, Reach
from orchestrator.circuit import Policy
from orchestrator.oncall.settings import WAIT_MAX_S, OncallSettings
from orchestrator.retry import Retry
from orchestrator.switch import SwitchSettings
from orchestrator.transport.exchange import Client
from orchestrator.webhooks.settings import WebhookSettings
from sql.tracing import Mode

LEASE_MARGIN_S = 0.5
"""A call must end this long before the lease does, so that its outcome can still be written."""

TRY_PHASES = 2
"""A try must last while the other tries of its saga, and then its confirms, use up all their attempts."""


Process = Literal["edge", "orchestrator"]
"""Who connects to the ledger with an address and a role (`sagaledger_edge`, `sagaledger_orchestrator`) of its own."""


class SettingsError(Exception):
    """A setting is wrong; nothing was started."""


class Environment(StrEnum):
    """Where the process runs."""

    DEV = "dev"
    PREVIEW = "preview"
    PROD = "prod"


class Settings(WebhookSettings, OncallSettings, SwitchSettings):
    """Every setting of edge and orchestrator."""

    model_config = SettingsConfigDict(
        env_prefix="SAGA_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr | None = Field(
        default=None,
        description="The ledger's database, as a libpq URL; none: an embedded PostgreSQL for `up` and `demo`",
    )
    listen_database_url: SecretStr | None = Field(
        default=None, description="A session-mode address for LISTEN, where the first goes through a pooler"
    )
    edge_database_url: SecretStr | None = Field(
        default=None, description="As SAGA_DATABASE_URL, for the edge's own user of the database; none: that address"
    )
    orchestrator_database_url: SecretStr | None = Field(
        default=None, description="As SAGA_DATABASE_URL, for the orchestrators' own user; none: that address"
    )
    database_connections: int = Field(default=8, ge=2, le=100, description="Most connections of one process to the ledger")
    orders_url: HttpUrl = Field(default="http://127.0.0.1:8101", description="Address of the orders service")
    inventory_url: HttpUrl = Field(default="http://127.0.0.1:8102", description="Address of the inventory service")
    payments_url: HttpUrl = Field(default="http://127.0.0.1:8103", description="Address of the payments service")
    shipping_url: HttpUrl = Field(default="http://127.0.0.1:8104", description="Address of the shipping service")
    notifications_url: HttpUrl = Field(default="http://127.0.0.1:8105", description="Address of the notifications service")
    participant_secrets: SecretStr | None = Field(
        default=None, description="What participants want to see, `payments=secret,inventory=secret`; none: nothing is sent"
    )
    allow_link_local: bool = Field(
        default=False, description="Call link-local addresses too, and those of a cloud's metadata service"
    )
    host: str = Field(default="127.0.0.1", description="Address the edge's clients' listener binds to")
    port: int = Field(default=8080, ge=0, le=65535, description="Port of the clients' listener; 0 picks a free one")
    admin_host: str = Field(default="127.0.0.1", description="Address the admin listener binds to")
    admin_port: int = Field(default=8090, ge=0, le=65535, description="Port of the admin listener; 0 picks a free one")
    api_keys: SecretStr | None = Field(
        default=None,
        description="Clients and their keys, `client=key,client=key`, beside those of `saga keys`; no key at all, in dev: every"
        " caller is one client",
    )
    admin_token: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="What operators and their tools send to admin listeners and metrics; none, in dev: nobody has to",
    )
    allowed_hosts: str | None = Field(
        default=None,
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(,(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+))*$",
        description="Host names that requests may be for, `shop.example,10.0.0.7`; none: any, and only loopback ones where"
        " the admin listener is bound to loopback",
    )
    connections_max: int = Field(
        default=4000, ge=1, le=1_000_000, description="Most connections of each of an edge's listeners"
    )
    connections_per_address: int = Field(
        default=1000, ge=1, le=1_000_000, description="Most connections of one address; a proxy in front is one"
    )
    rate_per_s: float = Field(
        default=1000.0, ge=0, le=1_000_000, description="Requests a second of one client that one edge answers; 0: any number"
    )
    rate_burst: int = Field(default=2000, ge=1, le=1_000_000, description="Requests of one client that may come at once")
    backlog_max: int = Field(
        default=0, ge=0, le=1_000_000, description="Due orders from which on an edge takes no new ones; 0: any number"
    )
    poll_interval_s: float = Field(default=5.0, gt=0, le=60, description="Seconds between two looks for work, at most")
    notify: bool = Field(default=True, description="Wake orchestrators by NOTIFY; off leaves the poll alone")
    lease_s: float = Field(default=30.0, gt=0, le=3600, description="Seconds for which a claim holds without renewal")
    concurrency: int = Field(default=100, ge=1, le=10_000, description="Sagas that one replica works on at once")
    step_timeout_s: float = Field(default=5.0, gt=0, le=300, description="Total seconds of one call to a participant")
    http_client: Client = Field(
        default=Client.HTTP1, description="What calls participants: http1, the project's own, or aiohttp"
    )
    edge_timeout_s: float = Field(
        default=2.0, gt=0, le=30, description="Seconds that a request waits for the payment's authorization"
    )
    retry_first_s: float = Field(default=1.0, ge=0, le=3600, description="Seconds before the second attempt of a step")
    retry_factor: float = Field(default=4.0, ge=1, le=100, description="Each further wait is so many times the one before")
    retry_attempts: int = Field(default=5, ge=1, le=100, description="Attempts of a step before the saga is undone")
    retry_jitter: float = Field(default=0.2, ge=0, le=1, description="Most of a wait that is added at random; 0 for none")
    deadline_s: float = Field(
        default=86_400.0, gt=0, le=31_536_000, description="Seconds after which an order that still waits is undone"
    )
    participant_concurrency: int = Field(
        default=32,
        ge=1,
        le=10_000,
        description="Calls of one replica to one participant at once; never more than half of SAGA_CONCURRENCY",
    )
    breaker_window: int = Field(default=10, ge=1, le=1000, description="Calls to a participant that its breaker judges")
    breaker_threshold: float = Field(
        default=0.5, gt=0, le=1, description="Share of them that must end unclear for the breaker to open"
    )
    breaker_open_s: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds without calls before one tries whether the participant is back"
    )
    lapses_max: int = Field(default=5, ge=1, le=1000, description="Claims in a row that may run out before an order is STUCK")
    retention_days: float = Field(
        default=90.0, ge=0, le=36_500, description="Days for which a finished order is kept; 0 to keep every one for ever"
    )
    reservation_s: float = Field(
        default=900.0,
        gt=0,
        le=31_536_000,
        description="Seconds for which a participant's try holds stock or money, unless it is confirmed",
    )
    shutdown_s: float = Field(default=8.0, gt=0, le=300, description="Seconds that a process takes at most to stop")
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of an orchestrator's /metrics and /healthz; none: not served"
    )
    log_level: str = Field(
        default="warning", pattern="^(debug|info|warning|error)$", description="Least severity that is logged"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, or console to be read by people; auto is console on a terminal in dev, else json"
    )
    traces: Mode = Field(
        default="off", description="off, or otlp: spans go to an OpenTelemetry collector, which OTEL_… variables describe"
    )
    environment: Environment = Field(default=Environment.DEV, description="dev, preview or prod")
    definitions: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_]\w*([.,][A-Za-z_]\w*)*$",
        description="Modules with a team's own sagas, `shop.sagas,shop.returns`; none: only those that ship",
    )

    @model_validator(mode="after")
    def _participants_may_be_called(self) -> Self:
        for name, url in self.participants.items():
            if why := self.participant_reach.refusal(urlsplit(url).hostname or ""):
                raise ValueError(f"SAGA_{name.upper()}_URL: must not be called: it {why}")
        return self

    @model_validator(mode="after")
    def _lease_outlasts_a_call(self) -> Self:
        # Leases are renewed every third of their time, so a call may start with two thirds left.
        if self.lease_s * 2 / 3 <= self.step_timeout_s + LEASE_MARGIN_S:
            raise ValueError(
                f"SAGA_LEASE_S ({self.lease_s:g}) must exceed one and a half times SAGA_STEP_TIMEOUT_S"
                f" ({self.step_timeout_s:g}) plus {LEASE_MARGIN_S:g} s, or every slow call would be taken over"
            )
        return self

    @model_validator(mode="after")
    def _tries_outlast_the_attempts(self) -> Self:
        waits_s = self.retry.budget_s(0.0) * (1 + self.retry_jitter)
        step_s = waits_s + self.retry_attempts * (self.step_timeout_s + self.poll_interval_s)
        needed_s = math.ceil(TRY_PHASES * (step_s + self.lease_s))  # one replica may die in each phase
        if self.reservation_s < needed_s:
            raise ValueError(
                f"SAGA_RESERVATION_S ({self.reservation_s:g}) must be at least {needed_s}: for so long a saga may try"
                " and confirm with these settings of retries, time limits and leases, and what it tried must not expire"
            )
        return self

    @property
    def takes_orders(self) -> bool:
        """Whether anything new may begin: in prod only once somebody has said so."""
        return self.environment is not Environment.PROD if self.enabled is None else self.enabled

    @property
    def participant_reach(self) -> Reach:
        """Where participants may be."""
        return Reach(link_local=self.allow_link_local)

    @property
    def webhook_reach(self) -> Reach:
        """Where webhooks may be: clients may have some, so outside dev not in the operators' own network."""
        private = self.environment is Environment.DEV if self.webhook_private is None else self.webhook_private
        return Reach(link_local=self.allow_link_local, private=private)

    @property
    def retry(self) -> Retry:
        """The retry policy of steps that state none of their own."""
        return Retry(first_s=self.retry_first_s, factor=self.retry_factor, attempts_max=self.retry_attempts)

    @property
    def oncall_retry(self) -> Retry:
        """The retry policy of messages to people."""
        return replace(self.webhook_retry, attempts_max=self.oncall_attempts, wait_max_s=WAIT_MAX_S)

    @property
    def definition_modules(self) -> tuple[str, ...]:
        """Modules with a team's own sagas, in the order of the setting."""
        return tuple(self.definitions.split(",")) if self.definitions else ()

    @property
    def breaker(self) -> Policy:
        """When the breaker of a participant opens, and for how long."""
        return Policy(window=self.breaker_window, threshold=self.breaker_threshold, open_s=self.breaker_open_s)

    def slots_of_one(self, limit: int | None = None) -> int:
        """Return how many calls to one participant may be on their way, so few that others always find room.

        Args:
            limit: What the registry says of it; None for nothing.
        """
        return min(limit or self.participant_concurrency, max(self.concurrency // 2, 1))

    @property
    def participants(self) -> dict[str, str]:
        """Address of each participant, by name."""
        return {
            "orders": self.orders_url,
            "inventory": self.inventory_url,
            "payments": self.payments_url,
            "shipping": self.shipping_url,
            "notifications": self.notifications_url,
        }

    def ledger_url(self, process: Process | None = None) -> str:
        """Return the ledger's address.

        Args:
            process: Which of them connects; None for a command of people.

        Raises:
            SettingsError: None is set.
        """
        own = {"edge": self.edge_database_url, "orchestrator": self.orchestrator_database_url}
        if process is not None and (url := own[process]) is not None:
            return url.get_secret_value()
        if self.database_url is None:
            raise SettingsError("no database is given: set SAGA_DATABASE_URL, or use `saga up`, which brings its own")
        return self.database_url.get_secret_value()

    def listen_url(self) -> str:
        """Return the address for LISTEN: its own, or the orchestrators'."""
        return self.listen_database_url.get_secret_value() if self.listen_database_url else self.ledger_url("orchestrator")


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Args:
        **overrides: Values that win over the environment, by field name; None leaves the environment's.

    Raises:
        SettingsError: One is wrong; the sentence names it.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = f"SAGA_{first['loc'][0]}".upper() if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {message}" if name else message) from None
