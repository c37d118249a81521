"""What every participant can be asked about an operation: whether the one with this key was done."""

from typing import Any, TypeVar

from pydantic import BaseModel, Field

from participants.contracts.endpoint import Endpoint, Wire

Res = TypeVar("Res", bound=BaseModel)


class OperationRef(Wire):
    """Names an operation.

    Attributes:
        operation_key: The Idempotency-Key that its calls carry.
    """

    operation_key: str = Field(pattern=r"^[\x21-\x7e]{1,255}$")


def probe_of(operation: Endpoint[Any, Res]) -> Endpoint[OperationRef, Res]:
    """Return the endpoint that tells whether an operation was done.

    200 repeats the stored answer: it was done. 409: it is refused for ever, since its undo came first. 404 of the problem
    type `operation-not-found`: not done by now; a call that is still on its way may do it later.
    """
    return Endpoint(operation.participant, "GET", "/operations/{operation_key}", OperationRef, operation.response)
