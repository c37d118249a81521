"""Sagas as pictures: one on the terminal, or all that ship in a document."""

from pathlib import Path
from typing import Any, Final, Literal

from orchestrator import drawing
from orchestrator.operations.definitions_view import named
from orchestrator.saga import Saga
from orchestrator.sagas import SHIPPED

HEADING: Final = "## The sagas that ship"
_NOTE: Final = "Made by `saga definitions draw --into docs/flows.md` from the definitions; not to be written by hand."
_UNDO_FAILURE: Final = {
    "continue": "What can't be undone is passed over: the earlier steps are undone all the same, then it is STUCK.",
    "stop": "What can't be undone stops the undoing: the earlier steps stay as they are, and it is STUCK.",
}


def show(name: str, kind: Literal["sequence", "state"] | None) -> None:
    """Print a saga's diagrams.

    Args:
        name: Of the saga.
        kind: None for both.

    Raises:
        NoSaga: There is none of this name.
    """
    saga = named(name)
    if kind is None:
        print(_fenced(drawing.sequence(saga)), _fenced(drawing.states(saga)), sep="\n\n")
    else:
        print(drawing.sequence(saga) if kind == "sequence" else drawing.states(saga), end="")


def renew(document: Path) -> None:
    """Put the sagas that ship into a document, in place of the section that begins with its heading."""
    before, _, _ = document.read_text(encoding="utf-8").partition(HEADING)
    document.write_text(before + section(), encoding="utf-8")


def section() -> str:
    """Return the section: each saga with its diagrams, what it leaves behind when it fails, and what holds of it."""
    parts = [HEADING, _NOTE, *(part for saga in SHIPPED for part in _described(saga))]
    return "\n\n".join(parts) + "\n"


def _described(saga: Saga[Any]) -> list[str]:
    parts = [f"### {saga.name}", f"{saga.says} (Version {saga.version}.)" if saga.says else f"Version {saga.version}."]
    parts += [_fenced(drawing.sequence(saga)), _fenced(drawing.states(saga))]
    if any(step.compensation is not None for step in saga.calls):
        parts.append(_UNDO_FAILURE[saga.undo_failure])
    if saga.invariants:
        held = [f"- `{invariant.query}`: {invariant.says}" for invariant in saga.invariants]
        parts += ["What holds of its orders, and the audit query that finds where it does not:", "\n".join(held)]
    return parts


def _fenced(diagram: str) -> str:
    return f"```mermaid\n{diagram}```"
