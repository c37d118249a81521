"""A value that fits a schema of ours, so that the shape of an answer can be seen."""

from typing import Any, Final

from edge_api.documentation.values import SCHEMAS
from sql.models import Json

_TEXTS: Final = {
    "uuid": "2e117608-861d-8c4b-a875-40d4c3ce47d8",
    "date-time": "2026-01-31T09:15:01.068346Z",
    "uri": "https://example.org/",
}
_OF_OTHERS: Final[dict[str, Any]] = {"integer": 1, "number": 1.0, "boolean": True, "null": None, "object": {}, "array": []}


def example_of(schema: Json, schemas: Json) -> Any:
    """Return a value that fits a schema of an answer.

    Args:
        schema: Of a model that is answered: it refers to others, and sets no limits to texts and numbers.
        schemas: Those of the document, by name.
    """
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(SCHEMAS)], schemas)
    for stated in ("const", "default"):
        if stated in schema:
            return schema[stated]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if "properties" in schema:
        return {name: example_of(of, schemas) for name, of in schema["properties"].items()}
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    kind = schema.get("type", "object")
    return _TEXTS.get(schema.get("format", ""), "…") if kind == "string" else _OF_OTHERS[kind]
