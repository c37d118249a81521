"""Which steps of a saga need which: found in what the definition says, so that a configuration can't pull them apart.

A step *uses* another where one of its functions reads the other's answer or names the other's id, or where the other's
compensation undoes it; a function that does something else with its context may read whatever stands before it. It *needs* the
other unless it asks whether there is an answer at all (`.get`, `in`). It *follows* what it uses and what it names in `after`,
and beyond that everything that stands before it in the code where it is a pivot or can't be undone, since done earlier it
would outlive more failures, or where either of the two is a wait, whose place is its meaning.
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
        uses: For each step, those whose answer or effect it uses.
        needs: For each step, those of them that it can't do without.
        follows: For each step, those that must stand before it; what it uses among them.
    """

    uses: Mapping[str, frozenset[str]]
    needs: Mapping[str, frozenset[str]]
    follows: Mapping[str, frozenset[str]]


def dependencies_of(saga: Saga[Any]) -> Dependencies:
    """Return what has to be done before what in a saga as its code has it."""
    uses, needs, follows = {}, {}, {}
    for index, step in enumerate(saga.steps):
        before = saga.steps[:index]
        names = frozenset(earlier.name for earlier in before)
        uses[step.name], needs[step.name] = _used(step, names)
        waits = frozenset(earlier.name for earlier in before if not isinstance(earlier, Step))
        said = frozenset(step.after) if isinstance(step, Step) else frozenset[str]()
        follows[step.name] = names if _keeps_its_place(step) else uses[step.name] | waits | said
    return Dependencies(uses, needs, follows)


def _used(step: AnyStep[Any], before: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return which earlier steps a step uses, and which of them it can't do without."""
    used = {step.undone_by} if step.undone_by else set[str]()
    needed = set(used)
    for function in _functions_of(step):
        try:
            reading = read(function)
        except (OSError, TypeError, SyntaxError):
            return before, before
        if reading.opaque:
            return before, before
        named = {of.name for of in reading.ids if isinstance(of, Step)}
        used |= reading.results | named
        needed |= reading.results - reading.guarded | named
    return before & used, before & needed


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
