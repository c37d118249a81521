"""A call made out before its intent is written: what travels, what the journal shows of it, what an answer must repeat."""

from typing import Any, Final

import orjson
from msgspec import Struct
from pydantic import BaseModel

from participants.contracts import Endpoint
from sql.models import Json

SHOWN_BYTES_MAX: Final = 16 * 1024
"""Of larger bodies the journal keeps the size: requests follow from the order's input, answers repeat them."""


class Prepared(Struct, frozen=True):
    """A call that only has to be made.

    Attributes:
        endpoint: Where it goes.
        key: Idempotency key; the same for every attempt of the operation.
        path: The endpoint's path, filled in.
        body: JSON; None where none is sent.
        shown: What the journal keeps: no personal data, and of a large request only its size.
        echoed: Members that an answer must repeat where it has them.
        personal: What is known of the person: kept of no answer, whoever writes it into one.
    """

    endpoint: Endpoint[Any, Any]
    key: str
    path: str
    body: bytes | None
    shown: Json
    echoed: Json
    personal: Json = {}


def prepare(
    endpoint: Endpoint[Any, Any],
    request: BaseModel,
    key: str,
    operation: BaseModel | None = None,
    personal: Json | None = None,
) -> Prepared:
    """Make a call out.

    Args:
        endpoint: What to do.
        request: Its request.
        key: Idempotency key.
        operation: What the answer must repeat; None for the request itself.
        personal: What is known of the person whom the order is for; None for nothing.
    """
    document: Json = request.model_dump(mode="json")
    body = document if type(request) is endpoint.request else endpoint.known_of(document)
    public = endpoint.public_of(body)
    encoded = orjson.dumps(body)
    return Prepared(
        endpoint,
        key,
        endpoint.url_path(request),
        encoded if endpoint.has_body else None,
        shown(public, len(encoded)),
        document if operation is None else operation.model_dump(mode="json"),
        personal or {},
    )


def shown(body: Json, size: int | None = None) -> Json:
    """Return a body as the journal keeps it; `size` is that of its JSON in bytes, None where it is not known."""
    size = len(orjson.dumps(body)) if size is None else size
    return body if size <= SHOWN_BYTES_MAX else {"bytes": size, "left_out": True}
