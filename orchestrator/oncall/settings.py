"""What can be set of telling people: where to, how, how often."""

import re
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from orchestrator.addresses import HttpUrl, receiver_url

WAIT_MAX_S = 300.0
"""Between two attempts: whoever is back hears of what waits within minutes."""
_ADDRESS = r"[^\s@,;<>()\"]+@[A-Za-z0-9.-]+"


class OncallSettings(BaseSettings):
    """The part of the settings that is about telling people; read with the others."""

    oncall_url: SecretStr | None = Field(
        default=None, description="Address that is called when orders need somebody; none: nobody is told this way"
    )
    oncall_secret: SecretStr | None = Field(
        default=None, description="What these calls are signed with, `whsec_` and base64; none: they are not signed"
    )
    oncall_mail_to: str | None = Field(
        default=None,
        pattern=f"^{_ADDRESS}(,{_ADDRESS})*$",
        description="Who gets a mail when orders need somebody, `a@shop.example,b@shop.example`; none: nobody",
    )
    oncall_mail_from: str | None = Field(
        default=None, pattern=f"^{_ADDRESS}$", description="Sender of these mails; none: the first who gets them"
    )
    oncall_window_s: float = Field(
        default=60.0, ge=0, le=86_400, description="Seconds between two messages of one channel; what comes meanwhile is one"
    )
    oncall_attempts: int = Field(
        default=900,
        ge=1,
        le=100_000,
        description="Attempts of a message to people, five minutes apart at last, before it is dead",
    )
    admin_url: HttpUrl | None = Field(
        default=None, description="Address of the operators' page, for links in what people are told; none: no links"
    )
    smtp_host: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9.:_-]+$", description="Mail server that takes mails for people; none: no mails"
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls (as on 587), tls from the start (as on 465), or none"
    )
    smtp_user: str | None = Field(default=None, description="User there; none: no one logs in")
    smtp_password: SecretStr | None = Field(default=None, description="That user's password")

    @field_validator("oncall_url")
    @classmethod
    def _can_be_called(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(receiver_url(value.get_secret_value()))

    @field_validator("oncall_secret")
    @classmethod
    def _can_sign(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(
            r"whsec_(?:[A-Za-z0-9+/]{4}){6,}[A-Za-z0-9+/=]{0,4}", value.get_secret_value()
        ):
            raise ValueError("must be `whsec_` and the base64 of 24 bytes or more")
        return value

    @model_validator(mode="after")
    def _mails_can_be_sent(self) -> Self:
        if self.oncall_mail_to is not None and self.smtp_host is None:
            raise ValueError("SAGA_ONCALL_MAIL_TO: names who gets mails, and no server takes them: set SAGA_SMTP_HOST")
        if (self.smtp_user is None) != (self.smtp_password is None):
            raise ValueError("SAGA_SMTP_USER: goes with SAGA_SMTP_PASSWORD: set both or neither")
        if self.smtp_password is not None and self.smtp_security == "none":
            raise ValueError("SAGA_SMTP_SECURITY: none would send SAGA_SMTP_PASSWORD in the clear")
        return self
