"""The overview page: what it may load, and that its script, its elements and the routes that it reads fit together."""

import asyncio
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from sql.models import TERMINAL, Status
from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = files("edge_api.dashboard").joinpath("index.html").read_text("utf-8")
SCRIPT = files("edge_api.dashboard").joinpath("overview.js").read_text("utf-8")
STYLE = files("edge_api.dashboard").joinpath("style.css").read_text("utf-8")


class Elements(HTMLParser):
    """Every start tag of the page with its attributes, and the text of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(PAGE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.inline += data

    def values(self, *names: str) -> list[str]:
        return [value or "" for _, given in self.found for name, value in given.items() if name in names]


async def get(edge: Edge, path: str) -> Reply:
    async with edge.session.get(edge.admin_url + path) as response:
        return Reply(response.status, await response.read(), dict(response.headers))


def members(name: str) -> set[str]:
    """Return the members that the script reads of a variable."""
    found = set(re.findall(rf"\b{name}\.(\w+)", SCRIPT))
    assert found, name
    return found


def listed(name: str) -> list[str]:
    """Return a constant list of the script's."""
    (line,) = re.findall(rf"^const {name} = \[(.*)\];", SCRIPT, re.MULTILINE)
    return re.findall(r'"(\w+)"', line)


@pytest.mark.parametrize(
    ("path", "content_type", "text"),
    [
        ("/", "text/html; charset=utf-8", PAGE),
        ("/overview.js", "text/javascript; charset=utf-8", SCRIPT),
        ("/style.css", "text/css; charset=utf-8", STYLE),
    ],
)
async def test_page_and_assets_are_served_under_a_strict_policy(
    start_edge: StartEdge, path: str, content_type: str, text: str
) -> None:
    reply = await get(await start_edge(), path)

    assert (reply.status, reply.body.decode()) == (200, text)
    assert reply.headers["Content-Type"] == content_type
    assert reply.headers["Content-Security-Policy"] == POLICY
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Server"] == "sagaledger"
    assert not [name for name in reply.headers if name.lower().startswith(("access-control", "set-cookie"))]


async def test_page_and_assets_hold_no_data_and_are_shown_to_anybody_while_data_is_not(start_edge: StartEdge) -> None:
    edge = await start_edge(admin_token="a-token-of-operators")

    for path in ("/", "/overview.js", "/style.css"):
        assert (await get(edge, path)).status == 200
    for path in re.findall(r'path: "([^"]+)"', SCRIPT):
        assert (await get(edge, f"/{path}")).status == 401


def test_the_token_is_kept_in_the_tab_only_and_never_in_an_address() -> None:
    assert "sessionStorage" in SCRIPT
    assert not re.search(r"localStorage|cookie|indexedDB|location\.(search|hash|href)|URLSearchParams|postMessage", SCRIPT)
    assert re.findall(r"fetch\(([^,]+),", SCRIPT) == ["source.path"]
    assert 'credentials: "omit"' in SCRIPT


async def test_clients_are_not_served_the_page(start_edge: StartEdge) -> None:
    assert (await (await start_edge()).get("/")).status == 404


async def test_every_address_of_the_page_is_served_by_its_own_listener(start_edge: StartEdge) -> None:
    edge = await start_edge()
    named = {*Elements().values("href", "src"), *re.findall(r'path: "([^"]+)"', SCRIPT)}

    assert {"overview.js", "style.css", "statistics", "health/participants"} <= named
    for address in named:
        assert not re.match(r"[a-z]+:|/", address), address
        assert (await get(edge, f"/{address}")).status == 200, address


def test_nothing_comes_from_elsewhere() -> None:
    for text in (PAGE, SCRIPT, STYLE):
        assert not re.search(r"[a-z]+://|[\"'(]//|url\(|@import", text)


def test_no_script_or_style_stands_in_the_page() -> None:
    elements = Elements()

    assert elements.inline.strip() == ""
    assert "style" not in {tag for tag, _ in elements.found}
    assert not [name for _, given in elements.found for name in given if name == "style" or name.startswith("on")]


def test_what_is_told_becomes_text_only() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|\beval\b|Function\(|\.style\b", SCRIPT)


def test_every_element_that_the_script_fills_is_in_the_page() -> None:
    ids = Elements().values("id")
    filled = {*re.findall(r'byId\("([^"]+)"\)', SCRIPT), *re.findall(r'asOf: "([^"]+)"', SCRIPT)}
    for sections in re.findall(r"sections: \[([^\]]+)\]", SCRIPT):
        filled |= set(re.findall(r'"([^"]+)"', sections))

    assert len(ids) == len(set(ids))
    assert {"stale", "stuck", "calls", "participants", "orders-as-of"} <= filled
    assert filled <= set(ids)


def test_every_table_has_a_caption_and_every_label_an_element() -> None:
    elements = Elements()
    tags = [tag for tag, _ in elements.found]

    assert tags.count("caption") == tags.count("table") > 0
    assert set(elements.values("aria-labelledby")) <= set(elements.values("id"))
    assert {"stale", "stuck"} == {given["id"] for _, given in elements.found if given.get("aria-live") == "polite"}


def test_every_status_has_its_place() -> None:
    assert listed("FINISHED") == [status for status in Status if status in TERMINAL]
    assert listed("UNFINISHED") == [status for status in Status if status not in TERMINAL]


async def test_what_the_script_reads_is_told(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    await edge.place()
    statistics, health = await asyncio.gather(get(edge, "/statistics"), get(edge, "/health/participants"))
    told: dict[str, Any] = statistics.json
    participants = health.json["participants"]

    assert members("statistics") <= told.keys()
    assert members("step") <= told["steps"][0].keys()
    assert members("health") <= health.json.keys()
    assert members("participant") - {"error"} <= participants["payments"].keys()
    assert members("participant") <= next(one for one in participants.values() if one["status"] == "down").keys()
