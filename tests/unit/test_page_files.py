"""The files of the operators' page: what they may hold, and that they fit together."""

import re
from html.parser import HTMLParser

import pytest

from edge_api.dashboard import FILES, HEADERS, TYPES
from sql.models import TERMINAL, Status

TEXTS = {path: file.read_text("utf-8") for path, file in FILES.items()}
SCRIPTS = {path: text for path, text in TEXTS.items() if path.endswith(".js")}
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc|\beval\b"
    r"|\bFunction\(|\.style\b|cssText|setAttribute\(\"style|set(?:Timeout|Interval)\(\s*[\"'`]"
)
"""What makes markup, script or style of a text."""


class Elements(HTMLParser):
    """Every start tag of the page with its attributes, and the text of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(TEXTS["/"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.inline += data

    def values(self, *names: str) -> set[str]:
        return {value or "" for _, given in self.found for name, value in given.items() if name in names}


def imports_of(path: str) -> set[str]:
    """Return the paths that a script imports, as the browser resolves them."""
    names = re.findall(r"(?:from|import) \"([^\"]+)\"", TEXTS[path])
    assert all(name.startswith(("./", "../")) for name in names), names
    folder = path.rpartition("/")[0]
    return {
        folder.rpartition("/")[0] + name.removeprefix("..") if name.startswith("..") else folder + name.removeprefix(".")
        for name in names
    }


def test_the_files_are_those_of_the_page() -> None:
    assert {"/", "/shell.js", "/theme.js", "/style.css", "/icon.svg", "/views/overview.js"} <= FILES.keys()
    assert all(path == "/" or path.rpartition(".")[2] in TYPES for path in FILES)


@pytest.mark.parametrize("path", SCRIPTS)
def test_what_is_told_becomes_text_only(path: str) -> None:
    assert not FORBIDDEN.findall(TEXTS[path])


def test_what_makes_markup_of_a_text_would_be_found() -> None:
    for line in (
        "root.innerHTML = told.name",
        "x.insertAdjacentHTML('x', y)",
        "eval(x)",
        "new Function(x)",
        "setTimeout('x()')",
    ):
        assert FORBIDDEN.search(line), line


@pytest.mark.parametrize("path", TEXTS)
def test_nothing_comes_from_elsewhere(path: str) -> None:
    text = TEXTS[path].replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"\b(?:https?|wss?|ftp|data|blob)://|[\"'(`]//|url\((?!#)|@import", text)


def test_the_token_is_kept_in_the_tab_only_and_never_in_an_address() -> None:
    for path, text in SCRIPTS.items():
        assert ("sessionStorage" in text) == (path == "/session.js")
        assert not re.search(r"cookie|indexedDB|postMessage|location\.search", text), path
        assert ("localStorage" in text) == (path in ("/theme.js", "/shell.js"))
    assert {path for path, text in SCRIPTS.items() if "fetch(" in text} == {"/api.js"}
    assert {path for path, text in SCRIPTS.items() if "new WebSocket(" in text} == {"/live.js"}
    assert 'credentials: "omit"' in SCRIPTS["/api.js"]


def test_no_script_or_style_stands_in_the_page() -> None:
    elements = Elements()

    assert elements.inline.strip() == ""
    assert "style" not in {tag for tag, _ in elements.found}
    assert not [name for _, given in elements.found for name in given if name == "style" or name.startswith("on")]


def test_the_policy_lets_nothing_in_and_nothing_become_script() -> None:
    policy = HEADERS["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert not re.search(r"unsafe|\*|https?:|wss?:|data:|blob:", policy)


def test_everything_that_is_named_is_there() -> None:
    elements = Elements()
    assert elements.values("href", "src") - {"#main"} <= FILES.keys()
    for path in SCRIPTS:
        assert imports_of(path) <= FILES.keys(), path
    ids = [given["id"] for _, given in elements.found if "id" in given]
    assert len(ids) == len(set(ids))
    for path in ("/shell.js", "/live.js"):
        named = re.findall(r"(?:byId|getElementById)\(\"([^\"]+)\"\)", TEXTS[path])
        assert set(named) - {"heading"} <= set(ids), path
    assert elements.values("aria-labelledby", "for") <= set(ids)


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.startswith("/views/")])
def test_a_view_has_a_title_and_shows_itself(path: str) -> None:
    assert re.search(r"^export const title = ", TEXTS[path], re.MULTILINE)
    assert re.search(r"^export (?:async )?function show\(", TEXTS[path], re.MULTILINE)


def test_every_status_has_its_place() -> None:
    def listed(name: str) -> list[str]:
        (line,) = re.findall(rf"^const {name} = \[(.*)\];", TEXTS["/views/overview.js"], re.MULTILINE)
        return re.findall(r'"(\w+)"', line)

    assert listed("FINISHED") == [status for status in Status if status in TERMINAL]
    assert listed("UNFINISHED") == [status for status in Status if status not in TERMINAL]
