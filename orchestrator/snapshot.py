"""A saga as its stored snapshot says it: enough for the core to decide on, without the code that makes its calls. No IO."""

from typing import Any, Final

from pydantic import BaseModel

from orchestrator.saga import AnyStep, Retry, Saga, Signal, Step, StepKind, Timer
from participants.contracts import Endpoint
from sql.models import Json


class Nothing(BaseModel):
    """Stands for every input, request and answer: the core reads none."""


_NOWHERE: Final[Endpoint[Any, Any]] = Endpoint("nobody", "POST", "/", Nothing, Nothing)


def saga_of(snapshot: Json) -> Saga[Any]:
    """Return a saga that is decided on as the snapshot says, and calls nobody.

    Raises:
        KeyError, TypeError: It is no snapshot.
        DefinitionError: Its steps could not be undone in order.
    """
    return Saga(
        name=snapshot["saga"],
        version=snapshot["version"],
        input=Nothing,
        steps=tuple(_step_of(step) for step in snapshot["steps"]),
        undo_failure=snapshot.get("undo_failure", "continue"),
    )


def _step_of(said: Json) -> AnyStep[Any]:
    if "signal" in said:
        return Signal(name=said["name"], timeout_s=said["timeout_s"])
    if "timer" in said:
        return Timer(name=said["name"], wait_s=said["wait_s"] or 0.0)
    is_undone = said["compensated"] or said["undone_by"] is not None
    # Before there were kinds of steps, one that nothing undid had nothing to undo.
    before_kinds = StepKind.COMPENSATABLE if is_undone else StepKind.READ_ONLY
    return Step(
        name=said["name"],
        request=lambda _: Nothing(),
        action=_NOWHERE,
        compensation=_NOWHERE if said["compensated"] else None,
        undone_by=said["undone_by"],
        kind=StepKind(said.get("kind", before_kinds)),
        optional=said.get("optional", False),
        group=said.get("group"),
        probe=_NOWHERE if said["probed"] else None,
        retry=Retry(**said["retry"]),
        timeout_s=said["timeout_s"],
        at_edge=said["at_edge"],
        declines=said["declines"],
    )
