"""The OpenAPI document as a page: made whole on the server, without a script."""

from typing import Any, Final

from edge_api.documentation.examples import example_of
from edge_api.documentation.html import Html, code, join, prose, tag
from edge_api.documentation.values import members_of, pretty, type_of
from sql.models import Json

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def render(document: Json, style: str) -> str:
    """Return a page that shows all of an OpenAPI document.

    Args:
        document: As `edge_api.openapi.document` makes it.
        style: What stands in the page's one `style` element; the only thing that is not escaped.
    """
    info, components = document["info"], document["components"]
    tags = [(each["name"], each["description"], _operations(document, each["name"])) for each in document["tags"]]
    head = join(
        [
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", f"{info['title']} {info['version']}"),
            tag("style", Html(style)),
        ]
    )
    body = join(
        [
            tag("a", "Skip to the operations", class_="skip", href="#operations"),
            _header(document),
            _contents(tags, components),
            tag(
                "main",
                *(_tagged(name, says, found, document) for name, says, found in tags),
                _headers(components["headers"]),
                _schemas(components["schemas"]),
                id="operations",
                tabindex="-1",
            ),
        ]
    )
    return f"<!doctype html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def _operations(document: Json, name: str) -> list[tuple[str, str, Json]]:
    """Return method, path and description of each operation that has a tag."""
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS and name in operation["tags"]
    ]


def _header(document: Json) -> Html:
    info = document["info"]
    schemes = [
        tag("p", "Keys: ", prose(scheme["description"]), f" ({scheme['type']}, {scheme['scheme']})")
        for scheme in document["components"]["securitySchemes"].values()
    ]
    source = tag("a", "openapi.json", href="openapi.json")
    return tag(
        "header",
        tag("h1", info["title"], " ", tag("span", info["version"])),
        tag("p", prose(info["description"])),
        *schemes,
        tag(
            "p", "Made from ", source, f", OpenAPI {document['openapi']}, schemas in ", code(document["jsonSchemaDialect"]), "."
        ),
    )


def _contents(tags: list[tuple[str, str, list[tuple[str, str, Json]]]], components: Json) -> Html:
    lists = [
        join([tag("h3", name), tag("ul", *(tag("li", _link_to(*operation)) for operation in found))]) for name, _, found in tags
    ]
    named = tag("ul", *(tag("li", tag("a", name, href=f"#schema-{name}")) for name in components["schemas"]), class_="many")
    folded = tag("details", tag("summary", "Schemas"), named)
    return tag("nav", tag("h2", "Contents", id="contents"), *lists, folded, aria_labelledby="contents")


def _link_to(method: str, path: str, operation: Json) -> Html:
    return tag("a", code(f"{method.upper()} {path}"), href=f"#{operation['operationId']}")


def _tagged(name: str, says: str, found: list[tuple[str, str, Json]], document: Json) -> Html:
    anchor = f"tag-{name}"
    shown = [_operation(*operation, document) for operation in found]
    return tag("section", tag("h2", name, id=anchor), tag("p", prose(says)), *shown, aria_labelledby=anchor)


def _operation(method: str, path: str, operation: Json, document: Json) -> Html:
    name = operation["operationId"]
    parts = [
        tag("h3", tag("strong", method.upper()), " ", code(path), id=name),
        tag("p", prose(operation["summary"])),
        tag("p", code(name), ". ", *_needs(operation["security"]), class_="soft"),
        *_parameters(operation["parameters"], document["components"]["parameters"]),
    ]
    if "requestBody" in operation:
        parts += _body(operation["requestBody"], document["components"]["schemas"])
    answers = [_answer(status, answer, document) for status, answer in operation["responses"].items()]
    parts += [tag("h4", "Answers"), *answers]
    return tag("article", *parts, aria_labelledby=name)


def _needs(security: list[dict[str, list[str]]]) -> list[str]:
    if not security:
        return ["Needs no key."]
    return [
        "Needs a key with the scope ",
        join((code(scope) for each in security for of in each.values() for scope in of), ", "),
        ".",
    ]


def _parameters(references: list[Json], known: Json) -> list[Html]:
    rows = [_parameter(known[reference["$ref"].rpartition("/")[2]]) for reference in references]
    return [tag("h4", "Parameters"), tag("dl", *rows, class_="members")] if rows else []


def _parameter(parameter: Json) -> Html:
    must = tag("strong", " required") if parameter.get("required") else ""
    said = {"name", "in", "required", "description", "schema"}
    rest = [join([", ", code(name), " ", code(str(parameter[name]))]) for name in sorted(parameter.keys() - said)]
    return tag(
        "div",
        tag("dt", code(parameter["name"]), must, tag("span", f" {parameter['in']}", class_="soft")),
        tag("dd", tag("p", prose(parameter["description"])), tag("div", type_of(parameter["schema"]), *rest)),
    )


def _body(body: Json, schemas: Json) -> list[Html]:
    parts = [tag("h4", "Body")]
    for content_type, content in body["content"].items():
        schema = content["schema"]
        # What a body refers to as a whole is shown in its place; what its members refer to, once for all.
        shown = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        must = tag("strong", " required") if body.get("required") else ""
        parts += [tag("div", code(content_type), must, ": ", type_of(schema)), members_of(shown)]
        if "example" in content:
            parts += [tag("p", "For example:"), pretty(content["example"])]
    return parts


def _answer(status: str, answer: Json, document: Json) -> Html:
    parts: list[str] = []
    for content_type, content in answer.get("content", {}).items():
        parts += [tag("div", code(content_type), ": ", type_of(content["schema"])), members_of(content["schema"])]
        if "$ref" in content["schema"]:
            parts.append(pretty(example_of(content["schema"], document["components"]["schemas"])))
    names = [(name, of["$ref"].rpartition("/")[2]) for name, of in answer.get("headers", {}).items()]
    if names:
        parts.append(tag("p", "Headers: ", join((tag("a", name, href=f"#header-{of}") for name, of in names), ", "), "."))
    follows = [tag("a", link["operationId"], href=f"#{link['operationId']}") for link in answer.get("links", {}).values()]
    if follows:
        parts.append(tag("p", "Goes on with: ", join(follows, ", "), "."))
    return tag("details", tag("summary", code(status), " ", prose(answer["description"])), *parts)


def _headers(headers: Json) -> Html:
    return _listed("Headers of answers", "header", {name: (type_of(of["schema"]), _says(of)) for name, of in headers.items()})


def _schemas(schemas: Json) -> Html:
    return _listed("Schemas", "schema", {name: (type_of(schema), members_of(schema)) for name, schema in schemas.items()})


def _says(described: dict[str, Any]) -> Html:
    return tag("p", prose(described["description"]))


def _listed(title: str, kind: str, parts: dict[str, tuple[Html, Html]]) -> Html:
    shown = [
        tag(
            "article",
            tag("h3", name, id=f"{kind}-{name}"),
            tag("div", phrase, class_="soft"),
            more,
            aria_labelledby=f"{kind}-{name}",
        )
        for name, (phrase, more) in parts.items()
    ]
    return tag("section", tag("h2", title, id=f"all-{kind}"), *shown, aria_labelledby=f"all-{kind}")
