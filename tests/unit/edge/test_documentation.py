"""The page of the OpenAPI document: all of it is there, as text, and it needs nothing else."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import orjson
import pytest

from edge_api import documentation, keys
from edge_api.contract import OPERATIONS
from edge_api.documentation.examples import example_of
from edge_api.documentation.page import render
from edge_api.openapi import document
from edge_api.schemas import PlaceOrderRequest
from orchestrator.definitions import Definitions
from orchestrator.sagas import SHIPPED
from orchestrator.settings import Settings
from tests.unit.edge.test_openapi import described_app

HOSTILE = "<img src=x onerror=alert(1)></script>\"'&lt;"
MEANT_BY_MACHINES = frozenset({"$ref", "type", "format", "in"})


class Page(HTMLParser):
    """What a page has: its tags with their attributes in order, its text, and its text by article."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.articles: dict[str, str] = {}
        self._article = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "article":
            self._article = dict(attrs)["aria-labelledby"] or ""
            self.articles[self._article] = ""

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            return
        self.text += data
        if self._article:
            self.articles[self._article] += data

    def values(self, *names: str) -> list[str]:
        return [value or "" for _, given in self.tags for name, value in given.items() if name in names]


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    app = described_app()
    app[keys.DEFINITIONS] = Definitions(SHIPPED, Settings())
    served: dict[str, Any] = orjson.loads(orjson.dumps(document(app, key_wanted=True)))
    return served


@pytest.fixture(scope="module")
def html(contract: dict[str, Any]) -> str:
    return documentation.page(contract).decode()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def leaves(node: Any, name: str = "") -> Iterator[str]:
    """Everything that the document says, but where a member's title repeats its name."""
    if isinstance(node, dict):
        for key, child in node.items():
            if not (key == "title" and isinstance(child, str) and "version" not in node):
                yield from leaves(child, key)
    elif isinstance(node, list):
        for child in node:
            yield from leaves(child, name)
    elif isinstance(node, str) and name == "$ref":
        # A parameter is shown in the place of its reference, under the name that it has in a request.
        yield "" if node.startswith("#/components/parameters/") else node.rpartition("/")[2]
    elif isinstance(node, str):
        yield "" if node.startswith("$response.") else node
    else:
        yield orjson.dumps(node).decode()


def replaced(node: Any, name: str = "") -> Any:
    """Return the document with hostile texts wherever it has one of its own, names of members among them."""
    if isinstance(node, dict):
        named = name in ("properties", "paths", "headers")
        return {key + HOSTILE if named else key: replaced(child, "" if named else key) for key, child in node.items()}
    if isinstance(node, list):
        return [replaced(child, name) for child in node]
    return node + HOSTILE if isinstance(node, str) and name not in MEANT_BY_MACHINES else node


def flat(text: str) -> str:
    return " ".join(text.replace("`", "").split())


def test_everything_that_the_document_says_stands_on_the_page(contract: dict[str, Any], page: Page) -> None:
    shown = flat(page.text)
    said = {flat(text) for text in leaves(contract)} - {"true", "false"}

    assert len(said) > 300
    assert {text for text in said if text not in shown} == set()


def test_every_operation_has_its_parameters_its_body_and_its_answers(contract: dict[str, Any], page: Page) -> None:
    known = contract["components"]["parameters"]
    seen = 0
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            shown = page.articles[operation["operationId"]]
            names = [known[parameter["$ref"].rpartition("/")[2]]["name"] for parameter in operation["parameters"]]
            for text in (f"{method.upper()} {path}", operation["summary"], *names, *operation["responses"]):
                assert flat(text) in flat(shown), (path, text)
            if "requestBody" in operation:
                assert "Body" in shown
                assert "For example" in shown
            seen += 1
    assert seen == len(OPERATIONS)


def test_every_member_of_every_schema_is_shown_with_it(contract: dict[str, Any], page: Page) -> None:
    for name, schema in contract["components"]["schemas"].items():
        shown = page.articles[f"schema-{name}"]
        for member in schema.get("properties", {}):
            assert member in shown, (name, member)


def test_what_a_body_must_have_is_marked(page: Page) -> None:
    shown, _, of_one_saga = flat(page.articles["placeOrder"]).partition("Where")

    assert "shipping_address required" in of_one_saga
    for member in PlaceOrderRequest.model_fields:
        is_required = PlaceOrderRequest.model_fields[member].is_required()
        assert (f"{member} required" in shown) == is_required, member


def test_a_text_is_never_markup(contract: dict[str, Any]) -> None:
    style = "body { margin: 0 }"
    clean = Page(render(contract, style))
    hostile = render(replaced(contract), style)

    assert hostile.count("&lt;img") > 1000
    assert [(tag, [*given]) for tag, given in Page(hostile).tags] == [(tag, [*given]) for tag, given in clean.tags]


def test_links_lead_to_what_is_there(page: Page) -> None:
    ids = page.values("id")
    targets = {target for target in page.values("href") if target.startswith("#")}

    assert len(ids) == len(set(ids))
    assert {target[1:] for target in targets} | set(page.values("aria-labelledby")) <= set(ids)
    assert {operation.id for operation in OPERATIONS.values()} <= {target[1:] for target in targets}


def test_it_needs_nothing_but_itself(page: Page) -> None:
    assert {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "form", "object"} == set()
    assert page.values("src", "style") == []
    assert not [name for _, given in page.tags for name in given if name.startswith("on")]
    assert {target for target in page.values("href") if not target.startswith("#")} == {"openapi.json"}
    assert not re.search(r"url\(|@import", documentation.STYLE)


def test_nothing_stands_where_a_browser_would_move_it_to(html: str) -> None:
    """A paragraph ends where a block begins, wherever it was closed."""
    assert re.findall(r"<p[ >](?:(?!</p>).)*?<(?:div|p|ul|dl|pre|details|h[1-6])[ >]", html, re.DOTALL) == []


def test_examples_fit_what_they_are_examples_of(contract: dict[str, Any]) -> None:
    schemas = contract["components"]["schemas"]
    for operation in OPERATIONS.values():
        if operation.example is not None:
            model = operation.body or PlaceOrderRequest
            model.model_validate_json(orjson.dumps(operation.example))
        for success in operation.successes.values():
            if success.model is not None:
                name = success.model.__name__
                schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
                jsonschema_rs.validate(schema, example_of({"$ref": f"#/components/schemas/{name}"}, schemas))
