"""Personal data: how a model says that a member describes a person, and how such members are kept out of what is kept.

A member is personal as a whole when it is marked, or when anything inside it is::

    class Parcel(Wire):
        order_id: str
        address: Address | None = None      # Address marks its members, so this one is personal
        note: Annotated[str, PERSONAL] = ""

What is personal stands in one place, `order_personal`, from where it can be erased; journal, events, logs and the answers that
the ledger keeps are made without it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

MASK: Final = "[personal]"
"""Stands in a text where a person's data stood."""
SHORTEST: Final = 3
"""Values of fewer characters, such as a country's code, tell nothing of anybody, and stand in many a word."""


@dataclass(frozen=True, slots=True)
class Personal:
    """Marks a field that describes a person: kept apart from the journal, logs and events, and erasable."""


PERSONAL: Final = Personal()
"""Use as `Annotated[str, PERSONAL]`."""


def is_personal(field: FieldInfo) -> bool:
    """Tell whether a model's field is marked as personal data, or anything inside it is."""
    return any(isinstance(mark, Personal) for mark in field.metadata) or _holds_personal(field.annotation, frozenset())


@cache
def personal_members(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of a model's members that are personal."""
    return frozenset(name for name, field in model.model_fields.items() if is_personal(field))


def without_personal(model: type[BaseModel], document: dict[str, Any]) -> dict[str, Any]:
    """Return a model's document as JSON without the members that are personal."""
    personal = personal_members(model)
    return {name: value for name, value in document.items() if name not in personal} if personal else document


def personal_of(model: type[BaseModel], document: dict[str, Any]) -> dict[str, Any]:
    """Return what a model's document as JSON says of a person: its personal members that have a value."""
    return {name: document[name] for name in personal_members(model) if document.get(name) is not None}


def masked(value: Any, personal: Mapping[str, Any]) -> Any:
    """Return JSON without what is known of a person, wherever and however it was written into it.

    Args:
        value: What somebody else wrote: a text, an object, anything that is JSON.
        personal: What is known of the person, by the names of the members that hold it.

    Returns:
        The same with `MASK` for members of these names and wherever one of their values stands in a text, in whatever case.
        What is written in other words is not found.
    """
    texts = sorted({text for text in _texts(personal) if len(text) >= SHORTEST}, key=len, reverse=True)
    if not personal or (not texts and not isinstance(value, dict | list)):
        return value
    known = re.compile("|".join(map(re.escape, texts)) or r"(?!)", re.IGNORECASE)
    return _masked(value, known, personal.keys())


def _masked(value: Any, known: re.Pattern[str], names: Any) -> Any:
    if isinstance(value, str):
        return known.sub(MASK, value)
    if isinstance(value, dict):
        return {
            known.sub(MASK, name): MASK if name in names and inner is not None else _masked(inner, known, names)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_masked(inner, known, names) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and known.fullmatch(str(value)):
        return MASK
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value).strip()


def _holds_personal(annotation: Any, above: frozenset[type]) -> bool:
    """Tell whether a type has a mark in it: in a union, a list, a mapping, or in a member of a model."""
    if isinstance(annotation, Personal):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in above:
            return False
        return any(
            any(isinstance(mark, Personal) for mark in field.metadata)
            or _holds_personal(field.annotation, above | {annotation})
            for field in annotation.model_fields.values()
        )
    return any(_holds_personal(inner, above) for inner in get_args(annotation))
