"""What became of a call, as a value: three answers, and nothing else reaches the core."""

from msgspec import Struct

from sql.models import Json


class Succeeded(Struct, frozen=True):
    """The participant did it.

    Attributes:
        result: The answer, as the endpoint's response model has it.
    """

    result: Json


class Rejected(Struct, frozen=True):
    """The participant did not do it and never will: no effect.

    Attributes:
        reason: In a sentence.
        response: The body of the answer, where it was JSON.
    """

    reason: str
    response: Json | None = None


class Unknown(Struct, frozen=True):
    """Everything unclear: a timeout, a 5xx, a reset, garbage. It may have been done, and may yet be.

    Attributes:
        reason: In a sentence.
        retry_after_s: Pause that the participant asked for; None for none.
        response: The body of the answer, where it was JSON.
    """

    reason: str
    retry_after_s: float | None = None
    response: Json | None = None


Outcome = Succeeded | Rejected | Unknown
