"""Which steps of a saga need which: found in what the definition says, so that a configuration can't pull them apart.

A step *needs* another where one of its functions reads the other's answer or names the other's id, or where the other's
compensation undoes it; a function that does something else with its context may read whatever stands before it. A step
*follows* what it needs, and beyond that everything that stands before it in the code where it is a pivot or can't be undone,
since done earlier it would outlive more failures, or where either of the two is a wait, whose place is its meaning.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.builders import read
from orchestrator.saga import AnyStep, Saga, Step, StepKind, Timer


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What has to be done before what, by the names of steps.

    Attributes:
        needs: For each step, those whose answer or effect it uses.
        follows: For each step, those that must stand before it; what it needs among them.
    """

    needs: Mapping[str, frozenset[str]]
    follows: Mapping[str, frozenset[str]]


def dependencies_of(saga: Saga[Any]) -> Dependencies:
    """Return what has to be done before what in a saga as its code has it."""
    needs, follows = {}, {}
    for index, step in enumerate(saga.steps):
        before = saga.steps[:index]
        names = frozenset(earlier.name for earlier in before)
        needs[step.name] = _needs(step, names)
        waits = frozenset(earlier.name for earlier in before if not isinstance(earlier, Step))
        follows[step.name] = names if _keeps_its_place(step) else needs[step.name] | waits
    return Dependencies(needs, follows)


def _needs(step: AnyStep[Any], before: frozenset[str]) -> frozenset[str]:
    found = {step.undone_by} if step.undone_by else set()
    for function in _functions_of(step):
        try:
            reading = read(function)
        except (OSError, TypeError, SyntaxError):
            return before
        if reading.opaque:
            return before
        found |= reading.results | {of.name for of in reading.ids if isinstance(of, Step)}
    return before & found


def _functions_of(step: AnyStep[Any]) -> Iterator[Callable[..., Any]]:
    if step.when is not None:
        yield step.when
    match step:
        case Step():
            yield step.request
        case Timer() if step.until is not None:
            yield step.until


def _keeps_its_place(step: AnyStep[Any]) -> bool:
    if not isinstance(step, Step):
        return True
    can_be_undone = step.kind is StepKind.READ_ONLY or step.compensation is not None or step.undone_by is not None
    return not can_be_undone or step.kind in (StepKind.PIVOT, StepKind.RETRIABLE)
