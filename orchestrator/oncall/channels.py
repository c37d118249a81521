"""How a message reaches people: by a call of an address, or by mail."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Protocol

import aiosmtplib
import orjson
import structlog

from orchestrator.oncall.message import Message, message_of
from orchestrator.oncall.settings import OncallSettings
from orchestrator.transport import Transport, TransportError
from orchestrator.webhooks import signing
from sql.oncall import Notice

SEND_S: Final = 15.0
"""For one message, all in all."""

log = structlog.get_logger(__name__)


class NotSent(Exception):
    """A message was not taken; whether somebody reads it all the same is not known."""


class Channel(Protocol):
    """A way of telling people.

    Attributes:
        source: The setting that says where it leads.
    """

    source: str

    async def send(self, message: Message, now_s: int) -> int:
        """Send a message.

        Args:
            message: What.
            now_s: The database's clock, in seconds since 1970.

        Returns:
            How many of those whom it was for are not to be had, though others got it.

        Raises:
            NotSent: It was not taken, for the reason that it says.
            TransportError, OSError: Nobody is there.
            TimeoutError: There was no answer in time.
        """


class Webhook:
    """Calls an address, as webhooks are called; signed where there is a secret.

    Args:
        transport: Makes the call, and knows where it may go.
        url: The address.
        secret: `whsec_` and base64; None for no signature.
    """

    source = "SAGA_ONCALL_URL"

    def __init__(self, transport: Transport, url: str, secret: str | None) -> None:
        self._transport = transport
        self._url = url
        self._secret = secret

    async def send(self, message: Message, now_s: int) -> int:
        """Send a message; see `Channel`."""
        body = orjson.dumps(message.body, option=orjson.OPT_UTC_Z)
        headers = {"Content-Type": "application/json", "webhook-id": str(message.id)}
        if self._secret is not None:
            headers = signing.headers((self._secret,), message.id, now_s, body)
        reply = await self._transport.exchange("POST", self._url, headers, body, SEND_S)
        if not 200 <= reply.status < 300:
            raise NotSent(f"answered {reply.status}")
        return 0


class Mail:
    """Hands a mail to a server.

    Args:
        settings: Which server, who sends, who gets it.
        tls: What the server's certificate is checked by.
    """

    source = "SAGA_ONCALL_MAIL_TO"

    def __init__(self, settings: OncallSettings, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._tls = tls or ssl.create_default_context()

    async def send(self, message: Message, now_s: int) -> int:
        """Send a message; see `Channel`."""
        settings = self._settings
        assert settings.oncall_mail_to is not None
        assert settings.smtp_host is not None
        receivers = settings.oncall_mail_to.split(",")
        sender = settings.oncall_mail_from or receivers[0]
        # It refuses line ends in a header.
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = sender, ", ".join(receivers), message.subject
        mail["Date"] = format_datetime(datetime.fromtimestamp(now_s, UTC))
        mail["Message-ID"] = f"<{message.id}@sagaledger>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        try:
            refused, _ = await aiosmtplib.send(
                mail,
                sender=sender,
                recipients=receivers,
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                username=settings.smtp_user,
                password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
                use_tls=settings.smtp_security == "tls",
                start_tls=settings.smtp_security == "starttls",
                tls_context=self._tls if settings.smtp_security != "none" else None,
                timeout=SEND_S,
            )
        except aiosmtplib.SMTPException as error:
            # What a server says may name people, and this is logged and shown; what aiosmtplib says itself names none.
            codes = sorted({each.code for each in _causes(error) if isinstance(each, aiosmtplib.SMTPResponseException)})
            raise NotSent(f"{type(error).__name__}: {', '.join(map(str, codes)) or error}") from None
        return len(refused)


def _causes(error: aiosmtplib.SMTPException) -> Sequence[aiosmtplib.SMTPException]:
    return error.recipients if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else [error]


async def tell(channel: Channel, notices: Sequence[Notice], admin_url: str | None) -> str | None:
    """Tell people of all of these in one message, but of what they know; return why it was not taken, None where it was.

    Args:
        channel: By which way.
        notices: One at least.
        admin_url: Address of the operators' page; None for no links.
    """
    new = [notice for notice in notices if not notice.repeated]
    if not new:
        return None
    try:
        async with asyncio.timeout(SEND_S):
            refused = await channel.send(message_of(new, admin_url), new[0].delivery.now_s)
    except TimeoutError:
        return f"no answer within {SEND_S:g} s"
    except (NotSent, TransportError, OSError, ValueError) as error:
        return str(error)
    except Exception:
        # Else it would be tried for ever, and by nobody's knowledge.
        log.exception("people_not_told")
        return "this program failed on it; its log says how"
    if refused:
        log.error("people_not_reached", webhook=new[0].delivery.webhook, receivers=refused)
    return None


def open_channels(settings: OncallSettings, transport: Transport) -> Mapping[str, Channel]:
    """Return the channels that are set, by what `event_subscription.channel` calls them."""
    channels: dict[str, Channel] = {}
    if settings.oncall_url is not None:
        secret = settings.oncall_secret.get_secret_value() if settings.oncall_secret else None
        channels["webhook"] = Webhook(transport, settings.oncall_url.get_secret_value(), secret)
    if settings.oncall_mail_to is not None:
        channels["mail"] = Mail(settings)
    return channels
