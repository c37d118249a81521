"""The form of every contract: a wire model and an endpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from participants.contracts.personal import personal_members, without_personal

ECHO_EXEMPT: Final[frozenset[str]] = frozenset({"status"})
"""Members of an answer that may differ from a request's member of the same name."""


class Wire(BaseModel):
    """Base of all wire models: frozen, strict about types, unknown members refused in requests.

    Answers are read with unknown members ignored, so that a service can add one without breaking its callers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Answer(BaseModel):
    """Base of all answers: frozen, strict about types, unknown members ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


Req = TypeVar("Req", bound=BaseModel, contravariant=True)
Res = TypeVar("Res", bound=BaseModel, covariant=True)


@dataclass(frozen=True)
class Endpoint(Generic[Req, Res]):
    """One operation of a participant.

    An endpoint for a base model also takes every request model derived from it, so the compensation of a step can be
    given the very request of its action and use the part it knows.

    Args:
        participant: Name of the service, as in the run-time registry.
        method: HTTP method. GET carries no body and no idempotency key, DELETE no body.
        path: Path template; `{field}` is filled from the request's field of that name.
        request: Model of the request body.
        response: Model of a 2xx answer. A member that stands in both must be equal in both, or the answer is taken
            for another operation's.
        refusal: Says why an answer is a refusal whose status alone does not say so (a 404 that names what is not there, a 200
            that says no), given its status and its JSON object: the response model's members for a 2xx, else whatever
            came, empty where it was none. None for no refusal; a pure function. None where statuses say all.
    """

    participant: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    request: type[Req]
    response: type[Res]
    refusal: Callable[[int, dict[str, Any]], str | None] | None = None

    def url_path(self, request: BaseModel) -> str:
        """Fill the path template from a request's fields, each quoted so that it stays one part of the path."""
        if not self._path_fields:
            return self.path
        return self.path.format_map({name: quote(str(getattr(request, name)), safe=":") for name in self._path_fields})

    @property
    def has_body(self) -> bool:
        """Whether a request has a body."""
        return self.method not in ("GET", "DELETE")

    def body(self, request: BaseModel) -> dict[str, Any] | None:
        """Return the JSON body of a request: the fields this endpoint knows; None where no body is sent."""
        return self.known_of(request.model_dump(mode="json")) if self.has_body else None

    def known_of(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return of a request as JSON the fields that this endpoint knows."""
        fields = self.request.model_fields
        return document if document.keys() <= fields.keys() else {n: v for n, v in document.items() if n in fields}

    def public_of(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a body without personal data, for the journal."""
        return without_personal(self.request, body)

    @property
    def tells_of_a_person(self) -> bool:
        """Whether its requests have personal members."""
        return bool(personal_members(self.request))

    def kept_of(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return an answer as JSON without personal data, for journal and results."""
        return without_personal(self.response, answer)

    @cached_property
    def _path_fields(self) -> tuple[str, ...]:
        return tuple(name for _, name, _, _ in Formatter().parse(self.path) if name)
