"""How the log of effects is asked for over HTTP; what it is, and how it is read, is in `idempotency.py`."""

from pydantic import BaseModel, ConfigDict, Field

from participants import idempotency
from participants.contracts.effects import Effect, EffectPage
from participants.database import Connection


class EffectQuery(BaseModel):
    """The query of `GET /effects`.

    Attributes:
        after: Position after which to start.
        order_id: Only effects of this order; None for all.
        limit: Most effects to return.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: int = Field(default=0, ge=0, lt=2**63)
    order_id: str | None = None
    limit: int = Field(default=idempotency.PAGE_MAX, ge=1, le=idempotency.PAGE_MAX)


async def page_effects(connection: Connection, query: EffectQuery) -> EffectPage:
    """Read one page of the log.

    Raises:
        Refused: 503 when a transaction that writes to the log does not end.
    """
    found, next_after = await idempotency.page_effects(connection, query.after, query.order_id, query.limit)
    return EffectPage(effects=tuple(Effect(**effect) for effect in found), next_after=next_after)
