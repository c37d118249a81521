"""The catalogue of events as a document's section: what is told when, and what it carries, from the types themselves."""

import re
from pathlib import Path
from typing import Any, Final

import orjson

from orchestrator.events import CATALOGUE, OrderEvent, StepEvent, json_schema
from orchestrator.operations.render import print_json
from sql.models import Json

HEADING: Final = "## Catalogue"
_NOTE: Final = "Made by `saga events catalogue` from `orchestrator/events.py`; not to be written by hand."
_SHARED: Final = (
    "What they share, as JSON Schema; `saga events catalogue --json` gives the whole schema, a branch for each type.\n"
    "A team's own types are a `StepEvent` where they tell of a step, else an `OrderEvent`."
)


def print_catalogue(*, into: Path | None, as_json: bool) -> None:
    """Print the catalogue, or put it into a document in place of the section that begins with its heading.

    Args:
        into: The document; None to print.
        as_json: Print the JSON Schema of an event instead.
    """
    if as_json:
        print_json(json_schema())
    elif into is None:
        print(section(), end="")
    else:
        before, _, _ = into.read_text(encoding="utf-8").partition(HEADING)
        into.write_text(before + section(), encoding="utf-8")


def section() -> str:
    """Return the section: a table of types, and the JSON Schemas that they share."""
    rows = [
        f"| `{name}` | {(model.__doc__ or '').rstrip('.')} | `{'StepData' if issubclass(model, StepEvent) else 'OrderData'}` |"
        for name, model in CATALOGUE.items()
    ]
    table = ["| type | tells | data |", "| --- | --- | --- |", *rows]
    return "\n".join([HEADING, "", _NOTE, "", *table, "", _SHARED, "", "```json", _laid_out(_shared_schema()), "```", ""])


def _shared_schema() -> Json:
    """Return what all types share; each of them differs in the value of `type`, and in which of the data it carries."""
    step = StepEvent.model_json_schema()
    shapes = {"OrderEvent": OrderEvent.model_json_schema(), "StepEvent": step, **step["$defs"]}
    shapes |= OrderEvent.model_json_schema()["$defs"]
    definitions = {name: _bare(shape) for name, shape in shapes.items()}
    return {"$schema": json_schema()["$schema"], "$defs": definitions}


def _bare(node: Any) -> Any:
    """Return a schema without what repeats names and docstrings, or has a place of its own."""
    if isinstance(node, list):
        return [_bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    if {"anyOf"} == node.keys() - {"title"}:
        return {"type": [option["type"] for option in node["anyOf"]]}
    return {name: _bare(rule) for name, rule in node.items() if name not in ("title", "description", "$defs")}


def _laid_out(schema: Json) -> str:
    """Return a schema as JSON with each list, and each small object, on one line."""
    text = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()
    text = re.sub(r"\[[^\[\]{}]*\]", _on_one_line, text)
    return re.sub(r"\{[^{}]{,120}\}", _on_one_line, text)


def _on_one_line(found: re.Match[str]) -> str:
    return " ".join(found[0].split())
