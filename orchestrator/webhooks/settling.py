"""What an attempt to deliver came to: answered, to be tried again, or dead. Pure: chance comes as a number."""

from typing import Final

from orchestrator.participant import parse_retry_after
from orchestrator.saga import RETRY_AFTER_MAX_S, Retry
from orchestrator.transport import Reply
from sql.webhooks import Delivery, Settlement

GONE: Final = 410
"""The one answer by which a receiver ends its subscription."""
SAID_MAX: Final = 200
"""Characters of an answer that are kept for whoever looks for the reason."""


def settle_reply(delivery: Delivery, reply: Reply, retry: Retry, jitter: float) -> Settlement:
    """Return what an answer means: 2xx is success, whatever its body; all else is a failure, redirects too.

    Args:
        delivery: The attempt.
        reply: The answer.
        retry: The policy.
        jitter: Share of the wait that is added to it, from 0.
    """
    if 200 <= reply.status < 300:
        return Settlement(delivery)
    said = _printable((reply.body or b"").decode(errors="replace"))
    note = " (redirects are not followed)" if 300 <= reply.status < 400 else ""
    error = f"answered {reply.status}{note}" + (f": {said}" if said else "")
    asked_s = parse_retry_after(reply.headers.get("retry-after")) or 0.0
    return _failed(delivery, error, retry, jitter, asked_s, gone=reply.status == GONE)


def settle_failure(delivery: Delivery, error: str, retry: Retry, jitter: float) -> Settlement:
    """Return what it means that no answer came; see `settle_reply`."""
    return _failed(delivery, _printable(error), retry, jitter, 0.0)


def _failed(delivery: Delivery, error: str, retry: Retry, jitter: float, asked_s: float, *, gone: bool = False) -> Settlement:
    if delivery.attempts >= retry.attempts_max:
        return Settlement(delivery, error, None, gone)
    wait_s = retry.delay_s(delivery.attempts) * (1 + jitter)
    return Settlement(delivery, error, max(wait_s, min(asked_s, RETRY_AFTER_MAX_S)), gone)


def _printable(text: str) -> str:
    # PostgreSQL stores no NUL in text, and no terminal should be told anything by a receiver.
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * SAID_MAX]).split())[:SAID_MAX]
