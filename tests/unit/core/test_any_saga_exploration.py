"""Exhaustive for sagas that nobody thought of: any three steps of any kinds that a definition lets stand together."""

from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from orchestrator.saga import AnyStep, DefinitionError, Saga, Signal, StepKind, Timer
from sql.models import Status
from tests.unit.core.exploration import explore
from tests.unit.core.sagas import PROBE, Nothing, saga, step

ENDS = {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.DECLINED}


@st.composite
def calls(draw: st.DrawFn, name: str, before: list[str]) -> AnyStep[Nothing]:
    kind = draw(st.sampled_from(StepKind))
    options: dict[str, Any] = {"kind": kind, "compensation": None}
    undone_by = (
        draw(st.none() | st.sampled_from(before)) if before and kind in (StepKind.COMPENSATABLE, StepKind.PIVOT) else None
    )
    if undone_by is not None:
        options["undone_by"] = undone_by
    elif kind is StepKind.COMPENSATABLE:
        del options["compensation"]
    return step(
        name,
        **options,
        optional=kind is not StepKind.PIVOT and draw(st.booleans()),
        when=draw(st.sampled_from((None, bool))),
        group=draw(st.sampled_from((None, "group"))),
        probe=draw(st.sampled_from((None, PROBE))),
    )


@st.composite
def sagas(draw: st.DrawFn, steps_max: int = 3) -> Saga[Nothing]:
    steps: list[AnyStep[Nothing]] = []
    for number in range(draw(st.integers(1, steps_max))):
        name, before = f"step_{number}", [each.name for each in steps]
        wait = st.sampled_from((Signal[Nothing](name), Timer[Nothing](name, wait_s=1.0)))
        steps.append(draw(calls(name, before) | wait))
    try:
        return saga(*steps, attempts_max=1)
    except DefinitionError:
        assume(False)
        raise


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(sagas(), st.booleans())
def test_any_saga_ends_wholly_done_or_wholly_undone(definition: Saga[Nothing], undo_rejections: bool) -> None:
    explored, ends = explore(definition, cancels=True, undo_rejections=undo_rejections, parks=len(definition.steps) < 3)

    assert explored > 1
    assert Status.COMPLETED in ends
    assert ends <= ENDS
