"""The contract against the routes that are really served."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from edge_api import access, monitoring
from edge_api.app import CLIENT_ROUTES
from edge_api.contract import OPERATIONS
from edge_api.openapi import add_to, document
from edge_api.parameters import HEADER_NAMES, HEADERS, PARAMETERS
from tests.documents import ROOT


def described_app() -> web.Application:
    """Return an application with every route of the clients' listener."""
    app = web.Application()
    for routes in CLIENT_ROUTES:
        app.add_routes(routes)
    add_to(app, lambda: True)
    return app


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    served: dict[str, Any] = orjson.loads(orjson.dumps(document(described_app(), key_wanted=True)))
    return served


def _members(node: Any) -> Iterator[tuple[str, Any]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield str(name), child
        yield from _members(child)


def test_every_route_is_described_and_nothing_else(contract: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, methods in contract["paths"].items() for method in methods}

    served = {(route.method, route.resource.canonical) for route in described_app().router.routes() if route.resource}

    assert described == served
    assert described == set(OPERATIONS)


def test_it_has_the_name_and_the_version_of_what_it_describes(contract: dict[str, Any]) -> None:
    (name, said) = re.match(r"# (\w+)\n(?:.|\n)*?This is version ([0-9.]+)\.\s", (ROOT / "README.md").read_text()).groups()  # type: ignore[union-attr]

    assert (contract["info"]["title"], contract["info"]["version"]) == (name, said)


def test_a_route_that_is_not_described_stops_the_start() -> None:
    app = web.Application()
    app.add_routes([web.get("/secret", monitoring.liveness, allow_head=False)])

    with pytest.raises(LookupError, match="GET /secret is not described"):
        document(app, key_wanted=True)


def test_every_reference_resolves(contract: dict[str, Any]) -> None:
    references = [value for name, value in _members(contract) if name == "$ref"]

    assert len(references) > 50
    for reference in references:
        node: Any = contract
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_everything_that_can_be_referred_to_is(contract: dict[str, Any]) -> None:
    references = {value for name, value in _members(contract) if name == "$ref"}

    for kind in ("schemas", "parameters", "headers"):
        for name in contract["components"][kind]:
            assert f"#/components/{kind}/{name}" in references
    assert HEADERS.keys() == HEADER_NAMES.keys()
    assert contract["components"]["parameters"].keys() == PARAMETERS.keys()


def test_path_parameters_are_those_of_the_path(contract: dict[str, Any]) -> None:
    for path, methods in contract["paths"].items():
        for operation in methods.values():
            names = [parameter["$ref"].rpartition("/")[2] for parameter in operation["parameters"]]
            described = {PARAMETERS[name]["name"] for name in names if PARAMETERS[name]["in"] == "path"}
            assert described == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_placing_an_order_tells_every_answer(contract: dict[str, Any]) -> None:
    responses = contract["paths"]["/orders"]["post"]["responses"]

    client_errors = {"400", "401", "402", "403", "408", "409", "413", "415", "417", "421", "422", "429", "431"}
    assert set(responses) == {"200", "202", *client_errors, "500", "503"}
    assert {"Location", "Idempotency-Replayed"} <= responses["202"]["headers"].keys()
    assert "Retry-After" in responses["409"]["headers"]
    assert "Retry-After" in responses["429"]["headers"]
    assert "Retry-After" in responses["503"]["headers"]
    assert "idempotency-key-reused" in responses["422"]["description"]


def test_the_request_is_the_model_that_is_validated(contract: dict[str, Any]) -> None:
    schema = contract["components"]["schemas"]["PlaceOrderRequest"]

    assert set(schema["required"]) == {"customer_id", "currency", "items"}
    assert schema["additionalProperties"] is False


def test_a_key_is_wanted_of_every_route_that_is_not_open_to_everybody_and_where_keys_are_wanted_at_all() -> None:
    for wanted in (False, True):
        for path, methods in document(described_app(), key_wanted=wanted)["paths"].items():
            scope = access.CLIENT_ROUTES[path]
            for operation in methods.values():
                assert operation["security"] == ([{"key": [scope]}] if wanted and scope is not access.OPEN else [])


def test_what_is_answered_before_a_route_is_looked_at_is_described_of_every_route(contract: dict[str, Any]) -> None:
    for methods in contract["paths"].values():
        for operation in methods.values():
            assert {"400", "417", "421", "429", "431", "503"} <= operation["responses"].keys()
