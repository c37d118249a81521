"""Small sagas for tests of the core."""

from typing import Any

from pydantic import BaseModel

from orchestrator.saga import AnyStep, Retry, Saga, Step, StepKind
from participants.contracts import Answer, Endpoint, Wire, probe_of


class Nothing(BaseModel):
    """An input without fields."""


class Ask(Wire):
    """A request without fields."""


class Done(Answer):
    """An answer without fields."""


def endpoint(name: str) -> Endpoint[Ask, Done]:
    return Endpoint("shop", "POST", f"/{name}", Ask, Done)


PROBE = probe_of(endpoint("anything"))


def step(name: str, **options: Any) -> Step[Nothing, Ask]:
    options.setdefault("compensation", None if "undone_by" in options else endpoint(f"undo-{name}"))
    return Step(name=name, request=lambda ctx: Ask(), action=endpoint(name), **options)


def saga(*steps: AnyStep[Nothing], attempts_max: int = 2) -> Saga[Nothing]:
    return Saga(name="test", version=1, input=Nothing, steps=steps, retry=Retry(attempts_max=attempts_max))


def plain_saga(length: int, attempts_max: int = 2) -> Saga[Nothing]:
    return saga(*(step(f"step_{number}") for number in range(1, length + 1)), attempts_max=attempts_max)


def pivot(name: str, **options: Any) -> Step[Nothing, Ask]:
    return step(name, kind=StepKind.PIVOT, compensation=None, **options)


def retriable(name: str, **options: Any) -> Step[Nothing, Ask]:
    return step(name, kind=StepKind.RETRIABLE, compensation=None, **options)


def read_only(name: str, **options: Any) -> Step[Nothing, Ask]:
    return step(name, kind=StepKind.READ_ONLY, compensation=None, **options)


TRY_CONFIRM_CANCEL = (
    step("try_stock", group="try"),
    step("try_payment", group="try"),
    pivot("confirm_stock", group="confirm", undone_by="try_stock"),
    pivot("confirm_payment", group="confirm", undone_by="try_payment"),
)
