"""The contract of the clients' listener as OpenAPI 3.1, made of the real routes, the models and the table of problems.

A route without an entry in `edge_api.contract.OPERATIONS` stops the start: what is not described can't be used.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edge_api import access, documentation, keys
from edge_api.contract import OPERATIONS, Operation, Success
from edge_api.parameters import HEADER_NAMES, HEADERS, PARAMETERS, WITHOUT_NUL, Json
from edge_api.problems import BASE, CONTENT_TYPE, ProblemType
from edge_api.schemas import PlaceOrderRequest, StartRequest, request_model
from orchestrator.saga import Saga
from orchestrator.sagas.orders import PlaceOrder
from orchestrator.version import version

_SCHEMAS: Final = "#/components/schemas/"
_OF_EVERY_REQUEST: Final = ("CorrelationId", "Traceparent")
_OF_EVERY_ANSWER: Final = ("CorrelationId", "RequestId", "Traceparent")
_OF_ANY_ROUTE: Final = (
    ProblemType.MALFORMED_REQUEST,
    ProblemType.EXPECTATION_FAILED,
    ProblemType.MISDIRECTED,
    ProblemType.RATE_LIMITED,
    ProblemType.HEAD_TOO_LARGE,
    ProblemType.OVERLOADED,
)
"""What is answered before anybody looks at what is asked."""
_TAGS: Final = {
    "Orders": "Place orders, follow them, pay for them, have them undone.",
    "Sagas": "What an order can be, and starting one by its name.",
    "Events": "What happened to orders.",
    "Service": "How the edge is, and what it can do.",
}
"""By what the first part of a path names."""
_WITH_RETRY_AFTER: Final = frozenset(
    {
        ProblemType.IN_PROGRESS,
        ProblemType.RATE_LIMITED,
        ProblemType.UNAVAILABLE,
        ProblemType.OVERLOADED,
        ProblemType.OUTCOME_UNKNOWN,
    }
)


def add_to(app: web.Application, wants_key: Callable[[], bool]) -> None:
    """Add the routes of the contract, as it is and as a page, to an application that has all its other routes.

    Both are made when they are first asked for: that takes longer than all else of an edge's start.

    Args:
        app: The application.
        wants_key: Tells whether clients need a key now.

    Raises:
        LookupError: A route has no entry in `OPERATIONS`.
    """

    @cache
    def body(key_wanted: bool) -> bytes:
        return orjson.dumps(document(app, key_wanted=key_wanted))

    @cache
    def page(key_wanted: bool) -> bytes:
        return documentation.page(document(app, key_wanted=key_wanted))

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=body(wants_key()), content_type="application/json")

    async def show_page(_request: web.Request) -> web.Response:
        shown = page(wants_key())
        return web.Response(body=shown, content_type="text/html", charset="utf-8", headers=documentation.HEADERS)

    app.add_routes([web.get("/openapi.json", show, allow_head=False), web.get("/docs", show_page, allow_head=False)])
    _described(app)


def document(app: web.Application, *, key_wanted: bool) -> Json:
    """Return the contract of an application's routes.

    Args:
        app: With all its routes.
        key_wanted: Whether clients need a key; where they don't, one that is sent is not looked at.

    Raises:
        LookupError: A route has no entry in `OPERATIONS`.
    """
    definitions = app.get(keys.DEFINITIONS)
    sagas = [definitions.named(name) for name in definitions.names] if definitions else []
    starting = [request_model(saga) for saga in sagas if saga.startable]
    given, schemas = _schemas(starting)
    _name_sagas(schemas, [saga for saga in sagas if saga.startable and issubclass(saga.input, PlaceOrder)])
    any_start: Json = {"anyOf": [given[model] for model in starting]} if starting else {"type": "object"}
    paths: Json = {}
    for (method, path), operation in _described(app).items():
        paths.setdefault(path, {})[method.lower()] = _operation(
            operation,
            access.CLIENT_ROUTES[path] if key_wanted else access.OPEN,
            any_start if operation.starts_any else given[operation.body] if operation.body else None,
            _tag_of(path),
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sagaledger",
            "version": version(),
            "description": "Orders, each wholly done or wholly undone.",
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "tags": [{"name": name, "description": says} for name, says in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": dict(PARAMETERS),
            "headers": dict(HEADERS),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key with the scope that an operation names, where there are keys.",
                }
            },
        },
    }


def _described(app: web.Application) -> dict[tuple[str, str], Operation]:
    """Return what is said of each route of an application."""
    found = {}
    for route in app.router.routes():
        path = route.resource.canonical if route.resource is not None else ""
        operation = OPERATIONS.get((route.method, path))
        if operation is None:
            raise LookupError(f"{route.method} {path} is not described in edge_api.contract.OPERATIONS")
        found[route.method, path] = operation
    return found


def _tag_of(path: str) -> str:
    """Return the tag of a path's operations: what its first part names, or else the service itself."""
    named = path.split("/")[1].capitalize()
    return named if named in _TAGS else "Service"


def _operation(operation: Operation, need: access.Need, body: Json | None, tag: str) -> Json:
    described: Json = {
        "operationId": operation.id,
        "tags": [tag],
        "summary": operation.summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in (*operation.parameters, *_OF_EVERY_REQUEST)],
        "security": [] if need is access.OPEN else [{"key": [need]}],
        "responses": _responses(operation),
    }
    if body is not None:
        example = {"example": operation.example} if operation.example else {}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body, **example}}}
    return described


def _responses(operation: Operation) -> Json:
    by_status: defaultdict[int, list[ProblemType]] = defaultdict(list)
    for problem in (*operation.problems, *_OF_ANY_ROUTE):
        by_status[problem.value.status].append(problem)
    successes = {status: _success(success) for status, success in operation.successes.items()}
    failures = {status: _failure(problems) for status, problems in by_status.items()}
    return {str(status): response for status, response in sorted({**successes, **failures}.items())}


def _success(success: Success) -> Json:
    plain = {"type": "object" if success.content_type == "application/json" else "string"}
    schema: Json = {"$ref": _SCHEMAS + success.model.__name__} if success.model else plain
    described: Json = {
        "description": success.description,
        "headers": _headers(*success.headers),
        "content": {success.content_type: {"schema": schema}},
    }
    if success.model and "order_ledger_id" in success.model.model_fields:
        described["links"] = _LINKS
    return described


_LINKS: Final[Json] = {
    operation.id: {
        "operationId": operation.id,
        "parameters": {"order_ledger_id": "$response.body#/order_ledger_id"},
        "description": operation.summary,
    }
    for operation in OPERATIONS.values()
    if "OrderLedgerId" in operation.parameters
}
"""What can be asked of an order that an answer names."""


def _failure(problems: list[ProblemType]) -> Json:
    names: list[str] = []
    if any(problem in _WITH_RETRY_AFTER for problem in problems):
        names.append("RetryAfter")
    if {ProblemType.UNAUTHORIZED, ProblemType.FORBIDDEN} & {*problems}:
        names.append("Authenticate")
    if ProblemType.DECLINED in problems:
        names += ["Location", "IdempotencyReplayed"]
    types = {"properties": {"type": {"enum": [BASE + problem.value.name for problem in problems]}}}
    return {
        "description": "; ".join(f"{problem.value.title} (`{problem.value.name}`)" for problem in problems) + ".",
        "headers": _headers(*names),
        "content": {CONTENT_TYPE: {"schema": {"allOf": [{"$ref": _SCHEMAS + "Problem"}, types]}}},
    }


def _headers(*names: str) -> Json:
    return {HEADER_NAMES[name]: {"$ref": f"#/components/headers/{name}"} for name in (*_OF_EVERY_ANSWER, *names)}


def _schemas(starting: list[type[StartRequest]]) -> tuple[dict[type[BaseModel], Json], Json]:
    """Return a reference to the schema of each request's model, and all schemas by name."""
    bodies = dict.fromkeys([*(operation.body for operation in OPERATIONS.values() if operation.body), *starting])
    models = {success.model for operation in OPERATIONS.values() for success in operation.successes.values() if success.model}
    references, given = models_json_schema([(model, "validation") for model in bodies], ref_template=_SCHEMAS + "{model}")
    _, answered = models_json_schema([(model, "serialization") for model in models], ref_template=_SCHEMAS + "{model}")
    taken = {name: _storable(schema) for name, schema in given["$defs"].items()}
    schemas = {**taken, **answered["$defs"], "Problem": _problem()}
    named = {name: _first_sentences(schema) for name, schema in sorted(schemas.items())}
    return {model: references[model, "validation"] for model in bodies}, named


def _name_sagas(schemas: Json, placing: list[Saga[Any]]) -> None:
    """Add to the body of `POST /orders` which sagas there are to place an order by, and what one needs more than others."""
    if not placing:
        return
    taken = schemas[PlaceOrderRequest.__name__]
    taken["properties"]["saga"]["enum"] = [saga.name for saga in placing]
    taken["allOf"] = []
    for saga in placing:
        needed = schemas[request_model(saga).__name__]
        own = {name: schema for name, schema in needed["properties"].items() if schema != taken["properties"][name]}
        if own:
            chosen = {"properties": {"saga": {"const": saga.name}}, "required": ["saga"]}
            taken["allOf"].append({"if": chosen, "then": {"properties": own, "required": needed["required"]}})


def _storable(schema: Any) -> Any:
    """Return a schema of what is sent, whose texts may not hold U+0000; see `edge_api.requests.read_body`."""
    if isinstance(schema, list):
        return [_storable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _storable(value) for name, value in schema.items()}
    if found.get("type") == "string" and not {"pattern", "enum", "const", "format"} & found.keys():
        found["pattern"] = WITHOUT_NUL
    if found.get("additionalProperties"):
        found.setdefault("propertyNames", {})["pattern"] = WITHOUT_NUL
    return found


def _first_sentences(schema: Json) -> Json:
    # A docstring's list of attributes repeats what the properties say.
    if "description" not in schema:
        return schema
    return {**schema, "description": schema["description"].partition("\n\n")[0]}


def _problem() -> Json:
    error = {
        "type": "object",
        "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
        "required": ["pointer", "detail"],
    }
    return {
        "type": "object",
        "description": "An error (RFC 9457). Act on `type`, never on a text.",
        "properties": {
            "type": {"type": "string", "format": "uri", "enum": [BASE + kind.value.name for kind in ProblemType]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string", "format": "uri"},
            "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
            "order_ledger_id": {"type": "string", "format": "uuid"},
            "errors": {"type": "array", "items": error},
        },
        "required": ["type", "title", "status", "detail", "instance", "retryable"],
    }
