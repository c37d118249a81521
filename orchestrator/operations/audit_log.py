"""Reading a participant's log of effects over HTTP. What comes back is hostile until it is read."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import aiohttp
from pydantic import ValidationError

from orchestrator.addresses import PARTICIPANTS, Reach
from orchestrator.credentials import authorization
from orchestrator.transport.fallback import open_session
from participants.contracts.effects import Effect, EffectPage

PAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""A page has at most 1,000 effects of some hundred bytes."""
PAGE_TIMEOUT_S: Final = 15.0
PAUSE_S: Final = 1.0
TRIES_MAX: Final = 3
"""A participant answers 503 while one of its own transactions does not end; that passes."""


class LogUnreadable(Exception):
    """A participant's log could not be read to its end; nothing can be said of its effects."""


class NoLog(LogUnreadable):
    """The participant keeps no log."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How participants are asked.

    Attributes:
        reach: Where they may be.
        secrets: What each wants to see, by name.
    """

    reach: Reach = PARTICIPANTS
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def session(self, participant: str) -> aiohttp.ClientSession:
        """Return a session for one participant; must be made inside the running loop, and closed."""
        return open_session(1, self.reach, authorization(self.secrets.get(participant)))


UNASKED: Final = Asking()
"""Of participants that want to see nothing."""


async def read_log(session: aiohttp.ClientSession, base_url: str) -> AsyncIterator[tuple[Effect, ...]]:
    """Read a log page by page, from its beginning to its end.

    Args:
        session: For the participant; see `Asking`.
        base_url: Address of the participant.

    Raises:
        LogUnreadable: It can't be reached or answers with something else.
        NoLog: It answers that there is no such thing as a log.
    """
    after = 0
    while True:
        page = await _read_page(session, f"{base_url.rstrip('/')}/effects?after={after}")
        seqs = [after, *(effect.seq for effect in page.effects)]
        if any(later <= earlier for earlier, later in pairwise(seqs)):
            raise LogUnreadable(f"the log does not grow after position {after}")
        yield page.effects
        if page.next_after is None:
            return
        if page.next_after != seqs[-1] or not page.effects:
            raise LogUnreadable(f"the page after position {after} does not lead to the next one")
        after = page.next_after


async def _read_page(session: aiohttp.ClientSession, url: str) -> EffectPage:
    for tries_left in reversed(range(TRIES_MAX)):
        status, body = await _get(session, url)
        if status == 200:
            try:
                return EffectPage.model_validate_json(body)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise LogUnreadable(f"it answered with another shape: {where}: {first['msg']}") from None
        if status != 503 or not tries_left:
            break
        await asyncio.sleep(PAUSE_S)
    raise (NoLog if status == 404 else LogUnreadable)(f"it answered {status}")


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    try:
        async with asyncio.timeout(PAGE_TIMEOUT_S), session.get(url, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > PAGE_BYTES_MAX:
                    response.close()
                    raise LogUnreadable(f"a page has more than {PAGE_BYTES_MAX} bytes")
            return response.status, bytes(body)
    except TimeoutError:
        raise LogUnreadable(f"it did not answer within {PAGE_TIMEOUT_S:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise LogUnreadable(f"it can't be reached: {type(error).__name__}: {error}") from None
