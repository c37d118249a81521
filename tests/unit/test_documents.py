"""What the documents say of the product, held against the product."""

import re
import subprocess
from pathlib import Path

import click
import pytest
from aiohttp import web

from cli import saga
from edge_api import dashboard, finding, monitoring
from edge_api.app import ADMIN_ROUTES, CLIENT_ROUTES
from edge_api.contract import OPERATIONS
from edge_api.parameters import PARAMETERS
from edge_api.problems import BASE, ProblemType
from orchestrator.participant import OUR_BUG, REJECTION, SUCCESS
from orchestrator.settings import Settings
from participants.app import routes_of
from participants.calls import Change, Lookup
from participants.settings import PORTS, Name, ParticipantSettings
from sql.models import TERMINAL, Status

ROOT = Path(__file__).parents[2]
NAMES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "bench/README.md",
    "deploy/kubernetes/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")),
)
DOCUMENT_LINES_MAX = 200
LONGER = {
    "README.md": 420,
    "docs/guarantees.md": 300,
    "docs/security.md": 250,
    "docs/flows.md": 1000,
    "docs/runbook.md": 450,
}
# Written so that this file is not what it looks for.
FOREIGN = {
    "host of a package registry": r"pypi\.(?:org|python)|pythonhosted\.|registry\.npmjs|proxy\.golang|/opt/pypi",
    "path of a machine": r"/(?:work|home|Users)/[a-z]|/tmp/[a-z]+/|/root/|C:\\Users",
}
DESCRIPTIONS = {"GET /openapi.json", "GET /docs"}
"""Routes that are made of all others."""
OF_TESTS = {"SAGA_TEST_DATABASE_URL", "SAGA_TEST_REAL_ORDERS"}
PATHS_OF_IMAGES = {"deploy/Dockerfile", "compose.yaml"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def committed_texts() -> list[str]:
    """Every text file that git knows, or, in a copy without its history, every document."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0")[:-1] if listed.returncode == 0 else list(NAMES)
    return [name for name in names if (ROOT / name).is_file() and b"\0" not in (ROOT / name).read_bytes()]


def command_lines() -> list[tuple[str, str]]:
    """Inline code of all documents, and what stands after a prompt, with the document's name."""
    found = []
    for name in NAMES:
        text = text_of(name)
        typed = re.findall(r"^ *\$ (.+)$", text, re.MULTILINE)
        inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
        found += [(name, code) for code in (*typed, *inline)]
    return found


def asked_of(command: str) -> list[tuple[str, list[str]]]:
    """What follows a command's name wherever a document runs it, with the document's name."""
    return [
        (name, words.split()) for name, code in command_lines() for words in re.findall(rf"^{command}((?: +[^\s|;]+)*)", code)
    ]


def table_under(name: str, header: str) -> list[list[str]]:
    """Cells of the table whose header line begins so."""
    lines = text_of(name).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(header)) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))

    asked = asked_of("make")

    assert {"demo", "test"} <= {words[0] for _, words in asked if words}
    for name, words in asked:
        assert not words or words[0] in targets, f"{name}: make {words[0]}"


def test_every_command_that_is_named_exists() -> None:
    asked = asked_of("saga")

    assert len(asked) > 10
    for name, words in asked:
        command: click.Command = saga
        for word in words:
            if not isinstance(command, click.Group) or word.startswith("-"):
                break
            assert word in command.commands, f"{name}: saga {' '.join(words)}"
            command = command.commands[word]
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, f"{name}: saga {' '.join(words)}"


def test_readme_lists_the_statuses() -> None:
    rows = table_under("README.md", "| status | meaning |")

    assert [row[0] for row in rows] == list(Status)
    assert {row[0] for row in rows if row[1].endswith("; terminal")} == TERMINAL


def test_readme_draws_every_status_and_where_it_ends() -> None:
    arrows = re.findall(r"^ +(\S+) --> ([A-Z\[*\]]+)", text_of("README.md"), re.MULTILINE)

    assert {end for arrow in arrows for end in arrow} - {"[*]"} == set(Status)
    assert {before for before, after in arrows if after == "[*]"} == TERMINAL
    # The one way out of a terminal status is that of a saga which takes back what is completed.
    assert {before for before, after in arrows if after != "[*]"} == set(Status) - TERMINAL | {"[*]", Status.COMPLETED}
    assert {after for before, after in arrows if before == Status.COMPLETED} == {"[*]", Status.CANCELLED}


def test_problem_types_are_those_of_the_api() -> None:
    rows = table_under("docs/http-api.md", "| type | status |")

    kinds = [problem.value for problem in ProblemType]
    assert rows == [[f"`{k.name}`", str(k.status), "yes" if k.retryable else "no", k.title] for k in kinds]
    assert BASE in text_of("docs/http-api.md")


def routes_in(document: str, header: str) -> dict[str, str]:
    """Return what a table says of each route that it names."""
    rows = table_under(document, header)
    return {route: " | ".join(row[1:]) for row in rows for route in re.findall(r"`([A-Z]+ /[^`]*)`", row[0])}


@pytest.mark.parametrize(
    ("document", "header", "served"),
    [
        ("docs/http-api.md", "| clients' listener |", CLIENT_ROUTES),
        ("docs/admin-api.md", "| admin listener |", [of for of in ADMIN_ROUTES if of is not monitoring.CLIENT_ROUTES]),
    ],
)
def test_routes_are_those_that_are_served(document: str, header: str, served: tuple[list[web.RouteDef], ...]) -> None:
    router = web.UrlDispatcher()
    for routes in served:
        router.add_routes(routes)

    # As a template: what a variable part of the path may be is left out.
    known = {f"{r.method} {r.resource.canonical}" for r in router.routes() if r.resource}
    files_of_the_page = {f"GET {path}" for path in dashboard.FILES} - {"GET /"}
    assert routes_in(document, header).keys() - DESCRIPTIONS == known - files_of_the_page


def test_what_a_route_can_be_asked_is_named_with_it() -> None:
    clients = routes_in("docs/http-api.md", "| clients' listener |")
    for (method, path), operation in OPERATIONS.items():
        for parameter in (PARAMETERS[name] for name in operation.parameters):
            if parameter["in"] == "query":
                assert f"`{parameter['name']}`" in clients[f"{method} {path}"], (path, parameter["name"])
    asked = routes_in("docs/admin-api.md", "| admin listener |")["GET /admin/orders"] + clients["GET /orders"]
    for name in finding.FILTERS:
        assert f"`{name}`" in asked, name


def test_each_route_answers_with_what_is_written() -> None:
    groups = {
        row[0]: set(re.findall(r"`([a-z-]+)`", row[1])) for row in table_under("docs/http-api.md", "| group | problems |")
    }
    written = {}
    for route, said in routes_in("docs/http-api.md", "| route | answers | problems |").items():
        answers, problems = said.split("|")
        named = [groups[f"*{name}*"] for name in re.findall(r"\*(\w+)\*", problems)]
        written[route] = (set(re.findall(r"\d+", answers)), set(re.findall(r"`([a-z-]+)`", problems)).union(*named))

    assert written == {
        f"{method} {path}": ({str(status) for status in operation.successes}, {p.value.name for p in operation.problems})
        for (method, path), operation in OPERATIONS.items()
    }


@pytest.mark.parametrize("name", PORTS)
def test_participants_routes_are_those_that_are_served(name: Name) -> None:
    rows = {row[0]: row for row in table_under("docs/participants.md", "| service | port |")}

    methods = {Lookup: "GET", Change: "POST"}
    served = {f"{methods.get(type(route)) or route.method} {route.path}" for route in routes_of(name, lifetime_s=1.0)}
    assert set(re.findall(r"`([^`]+)`", rows[name][2])) == served
    assert int(rows[name][1]) == PORTS[name]


def test_answers_are_understood_as_it_is_written() -> None:
    rows = table_under("docs/participants.md", "| answer | outcome |")

    def codes(cell: str) -> set[int]:
        return {int(code) for code in re.findall(r"\b[1-5][0-9]{2}\b", cell)}

    assert codes(rows[0][0]) == SUCCESS
    assert rows[0][1].startswith("Succeeded")
    assert [codes(row[0]) for row in rows if row[1].startswith("Rejected")] == [REJECTION]
    assert [codes(row[0]) for row in rows if "logged as errors" in row[1]] == [OUR_BUG]


def test_every_setting_that_is_named_exists() -> None:
    known = {f"SAGA_{name}".upper() for settings in (Settings, ParticipantSettings) for name in settings.model_fields}
    known |= {str(field.validation_alias) for field in ParticipantSettings.model_fields.values() if field.validation_alias}

    named = {(name, setting) for name in NAMES for setting in re.findall(r"\b(?:SAGA|MOCK)_[A-Z_]+[A-Z]", text_of(name))}

    assert len(named) > 15
    assert {(name, setting) for name, setting in named if setting not in known | OF_TESTS} == set()


def test_readme_states_the_defaults_as_they_are() -> None:
    for cells in table_under("README.md", "| setting | default |"):
        for setting, written in zip(re.findall(r"SAGA_([A-Z_]+)", cells[0]), cells[1].split(","), strict=True):
            default = Settings.model_fields[setting.lower()].default
            assert written.strip() == (
                "none" if default is None else default if isinstance(default, str) else f"{default:g}"
            ), setting


@pytest.mark.parametrize("name", NAMES)
def test_links_inside_the_repository_resolve(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = (ROOT / name).parent / path if path else ROOT / name
        assert there.exists(), target
        headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name: str) -> None:
    for code in re.findall(
        r"`((?:cli|sql|edge_api|orchestrator|participants|tests|bench|docs|deploy)[\w/.-]*/[\w/.-]*)`", text_of(name)
    ):
        assert (ROOT / code).exists() or "NNNN" in code, code


@pytest.mark.parametrize("name", NAMES)
def test_documents_stay_short(name: str) -> None:
    assert len(text_of(name).splitlines()) <= LONGER.get(name, DOCUMENT_LINES_MAX)


@pytest.mark.parametrize("what", FOREIGN)
def test_no_committed_text_names_a_place_of_somebodys_own(what: str) -> None:
    offences = [
        f"{name}:{number}"
        for name in committed_texts()
        if name not in PATHS_OF_IMAGES | {str(Path(__file__).relative_to(ROOT))}
        for number, line in enumerate(text_of(name).splitlines(), 1)
        if re.search(FOREIGN[what], line)
    ]

    assert offences == []
