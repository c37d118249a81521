"""What a JSON Schema says, for people: nothing of it is left out, for what has no words here is shown as it stands."""

from typing import Any, Final

import orjson

from edge_api.documentation.html import Html, code, join, prose, tag
from sql.models import Json

SCHEMAS: Final = "#/components/schemas/"
_FEW: Final = 12
"""Values that are read at a glance; more are folded."""
_LIMITS: Final = {
    "minimum": ("at least ", ""),
    "maximum": ("at most ", ""),
    "exclusiveMinimum": ("more than ", ""),
    "exclusiveMaximum": ("less than ", ""),
    "minLength": ("at least ", " characters"),
    "maxLength": ("at most ", " characters"),
    "minItems": ("at least ", " elements"),
    "maxItems": ("at most ", " elements"),
    "minProperties": ("at least ", " members"),
    "maxProperties": ("at most ", " members"),
    "pattern": ("like ", ""),
    "default": ("default ", ""),
}
"""What stands before and after the value."""
_TOLD: Final = {"$ref", "type", "format", "const", "enum", "items", "anyOf", "oneOf", "allOf", "if", "then", "properties"}
_TOLD_BESIDES: Final = {"required", "additionalProperties", "description", "title"}
"""A title is the name of its member once more."""


def type_of(schema: Json) -> Html:
    """Return in one phrase of what kind a value is, and within which limits."""
    stated = [(before, schema[name], after) for name, (before, after) in _LIMITS.items() if name in schema]
    limits = [join([before, code(_json(value)), after]) for before, value, after in stated]
    unknown = schema.keys() - _LIMITS.keys() - _TOLD - _TOLD_BESIDES
    rest = [join([code(name), code(_json(schema[name]))], " ") for name in sorted(unknown)]
    return join([_kind(schema), *limits, *rest], ", ")


def members_of(schema: Json) -> Html:
    """Return what there is to say of a value beyond its kind: its meaning, its members, its parts; nothing, mostly."""
    parts: list[str] = []
    if "description" in schema:
        parts.append(tag("p", prose(schema["description"])))
    if "properties" in schema:
        required = schema.get("required", ())
        rows = [_member(name, of, required=name in required) for name, of in schema["properties"].items()]
        parts.append(tag("dl", *rows, class_="members"))
    elif "required" in schema:
        parts.append(tag("p", "Required: ", join(map(code, schema["required"]), ", "), "."))
    others = schema.get("additionalProperties")
    if others is False and "properties" in schema:
        parts.append(tag("p", "No other members."))
    elif isinstance(others, dict):
        parts += [tag("div", "Members of any name: ", type_of(others)), members_of(others)]
    if "items" in schema:
        parts.append(members_of(schema["items"]))
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        parts.append(members_of(each))
    for each in schema.get("allOf", ()):
        parts += [tag("div", "It is also ", type_of(each)), members_of(each)] if "if" not in each else [members_of(each)]
    if "if" in schema:
        parts += [tag("p", "Where"), members_of(schema["if"]), tag("p", "holds, also"), members_of(schema.get("then", {}))]
    return join(parts)


def pretty(value: Any) -> Html:
    """Return a JSON value over several lines."""
    return tag("pre", code(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()))


def _member(name: str, schema: Json, *, required: bool) -> Html:
    must = tag("strong", " required") if required else ""
    return tag("div", tag("dt", code(name), must), tag("dd", tag("div", type_of(schema)), members_of(schema)))


def _kind(schema: Json) -> Html:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(SCHEMAS)
        return tag("a", name, href=f"#schema-{name}")
    if "const" in schema:
        return code(_json(schema["const"]))
    if "enum" in schema:
        return _one_of(schema["enum"])
    choices = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    if choices:
        return join(map(type_of, choices), " or ")
    if "items" in schema:
        return join(["array of ", type_of(schema["items"])])
    named = schema.get("type", "object" if "properties" in schema else "")
    kinds = named if isinstance(named, list) else [named] if named else []
    shape = f" ({schema['format']})" if "format" in schema else ""
    return join([" or ".join(kinds) + shape or "value"])


def _one_of(values: list[Any]) -> Html:
    shown = join([code(_json(value)) for value in values], ", ")
    if len(values) <= _FEW:
        return join(["one of ", shown])
    return tag("details", tag("summary", f"one of {len(values)} values"), shown)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
