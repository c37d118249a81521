"""Small sagas for tests of the core."""

from typing import Any

from pydantic import BaseModel

from orchestrator.saga import Retry, Saga, Step
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


def saga(*steps: Step[Nothing, Ask], attempts_max: int = 2) -> Saga[Nothing]:
    return Saga(name="test", version=1, input=Nothing, steps=steps, retry=Retry(attempts_max=attempts_max))


def plain_saga(length: int, attempts_max: int = 2) -> Saga[Nothing]:
    return saga(*(step(f"step_{number}") for number in range(1, length + 1)), attempts_max=attempts_max)
