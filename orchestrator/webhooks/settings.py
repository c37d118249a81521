"""What can be set of webhooks: how often a delivery is tried, for how long it is kept, where receivers may be."""

from pydantic import Field
from pydantic_settings import BaseSettings

from orchestrator.retry import Retry

WEBHOOK_WAIT_MAX_S = 172_800.0
"""Two days: a receiver that was mended on Monday hears of everything that week."""


class WebhookSettings(BaseSettings):
    """The part of the settings that is about webhooks; read with the others."""

    webhook_timeout_s: float = Field(
        default=15.0, gt=0, le=60, description="Total seconds in which a webhook's receiver must have answered"
    )
    webhook_retry_first_s: float = Field(
        default=10.0, ge=0, le=86_400, description="Seconds before the second attempt to deliver an event to a webhook"
    )
    webhook_retry_factor: float = Field(default=3.0, ge=1, le=100, description="As SAGA_RETRY_FACTOR, for webhooks")
    webhook_retry_attempts: int = Field(
        default=11, ge=1, le=100, description="Attempts of a delivery before it is dead; with the defaults more than three days"
    )
    webhook_disable_after_days: float = Field(
        default=5.0, gt=0, le=365, description="Days without any answer after which a webhook is disabled"
    )
    webhook_retention_days: float = Field(
        default=7.0, gt=0, le=36_500, description="Days for which a delivery that was answered is kept"
    )
    webhook_private: bool | None = Field(
        default=None, description="Call webhooks at loopback and private addresses; unset: in dev alone"
    )

    @property
    def webhook_retry(self) -> Retry:
        """The retry policy of deliveries to webhooks."""
        return Retry(
            first_s=self.webhook_retry_first_s,
            factor=self.webhook_retry_factor,
            attempts_max=self.webhook_retry_attempts,
            wait_max_s=WEBHOOK_WAIT_MAX_S,
        )
