"""The rules that hold the layout together: who may import whom, and what the pure core may not touch."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("sql", "participants", "orchestrator", "edge_api", "cli")
ALLOWED = {
    "sql": set(),
    "participants": {"sql.loader", "sql.tasks", "sql.telling", "sql.tracing"},
    "orchestrator": {"sql", "participants.contracts"},
    "edge_api": {"sql", "orchestrator", "participants.contracts"},
}
# The local stack starts every part as a process, so it and the command line are what may know them all.
OPERATIONS = "orchestrator/operations/"
PURE = (
    "step",
    "retry",
    "saga",
    "outcome",
    "identity",
    "verb",
    "progress",
    "turns",
    "undoing",
    "phases",
    "answers",
    "asked",
    "machine",
    "spans",
    "circuit",
    "snapshot",
    "retrace",
    "work",
    "preview",
    "timeline",
    "dependencies",
    "configuration",
    "describing",
    "drawing",
    "webhooks/settling",
    "oncall/message",
    "money",
    "operations/bulk_pace",
    "changes",
    "operations/replay",
    "operations/returns",
)
IMPURE = {"time", "datetime", "random", "asyncio", "aiohttp", "psycopg", "psycopg_pool", "socket", "os", "secrets", "uuid4"}
ORDER = ("step", "saga", "progress", "turns", "undoing", "answers", "asked", "machine", "work", "runner", "worker")


def modules() -> list[Path]:
    return [path for package in PACKAGES[:-1] for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _within(name: str, roots: set[str]) -> bool:
    # `from sql import ledger` names `sql` itself, which is fine where a part of it is allowed.
    return any(name == root or name.startswith(root + ".") or root.startswith(name + ".") for root in roots)


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if not str(path.relative_to(ROOT)).startswith(OPERATIONS)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_imports_run_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    ours = {name for name in imports(path) if name.split(".")[0] in PACKAGES}

    assert {name for name in ours if not _within(name, ALLOWED[package] | {package})} == set()


@pytest.mark.parametrize("path", [p for p in modules() if "edge_api" in p.parts], ids=lambda path: path.name)
def test_the_edge_never_imports_worker_or_listener(path: Path) -> None:
    forbidden = {"orchestrator.worker", "orchestrator.listener", "orchestrator.runner", "orchestrator.writer"}

    assert not imports(path) & forbidden


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_has_no_clock_no_randomness_and_no_io(name: str) -> None:
    used = {part for imported in imports(ROOT / "orchestrator" / f"{name}.py") for part in imported.split(".")}

    assert not used & IMPURE


@pytest.mark.parametrize("index", range(len(ORDER)))
def test_inside_the_orchestrator_imports_run_from_worker_to_saga(index: int) -> None:
    later = {f"orchestrator.{name}" for name in ORDER[index + 1 :]}

    assert not imports(ROOT / "orchestrator" / f"{ORDER[index]}.py") & later


def _said(package: str) -> str:
    return ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))) or ""


@pytest.mark.parametrize("package", ["sql", "edge_api", "orchestrator", "orchestrator/operations"])
def test_a_package_shows_every_module_in_its_place(package: str) -> None:
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    packages = {f"{path.parent.name}/" for path in (ROOT / package).glob("*/__init__.py")}

    assert (modules | packages) - set(re.findall(r"[a-z_]+/?", _said(package))) == set()


def test_the_orchestrator_says_in_which_order_imports_run() -> None:
    order = re.findall(r"[a-z]+(?= ←|\.$)", _said("orchestrator").rpartition("Imports")[2])

    assert order == list(ORDER)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_fit_a_screen(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 70] == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_statement_is_built_in_python(path: Path) -> None:
    """SQL lives in `.sql` files: nothing that is executed is an f-string, a sum or a string of the module."""
    offences = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("execute", "executemany"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.JoinedStr | ast.BinOp | ast.Constant):
                offences.append(node.lineno)

    assert offences == []


# Where a statement comes as a parameter, whose type (LiteralString) the type checker holds to be a literal, or of a file of
# audits, or where a name is put in as an identifier.
HANDED_ON = {
    "sql/connect.py": {"query"},
    "sql/auditing.py": {"query.text"},
    "sql/loader.py": {"self[name]"},
    "sql/migrate.py": {"pgsql.SQL('create database {}').format(pgsql.Identifier(str(name)))"},
    "participants/idempotency.py": {"statement"},
}


def executed(tree: ast.AST) -> list[str]:
    """Return what is executed in a module and is no query by its name, and no constant of the module."""
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    ]
    statements = [
        ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func).endswith((".execute", ".executemany", ".copy"))
    ]
    return [text for text in statements if not re.fullmatch(r"_?[A-Z][A-Z_]*(\[('\w+'|name)\])?", text)]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_values_reach_the_database_as_parameters_only(path: Path) -> None:
    """A query is taken by its name, whatever the data: nothing is formatted, joined or interpolated into one."""
    found = set(executed(ast.parse(path.read_text(encoding="utf-8"))))

    assert found == HANDED_ON.get(str(path.relative_to(ROOT)), set())


@pytest.mark.parametrize(
    "statement",
    [
        'conn.execute(f"select {name}")',
        'conn.execute("select " + name)',
        'conn.execute("select {}".format(name))',
        'conn.execute("select %s" % name)',
        "conn.execute(query)",
        "conn.execute(QUERIES[kind] + name)",
        "cursor.copy(f'copy {table} to stdout')",
        'conn.execute(" ".join(parts))',
    ],
)
def test_a_statement_that_is_formatted_is_found(statement: str) -> None:
    assert executed(ast.parse(statement))


def test_channels_of_notifications_are_constants() -> None:
    for path in sorted((ROOT / "sql").rglob("*.sql")):
        text = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
        channels = re.findall(r"pg_notify\(\s*([^,]+),|\b(?:un)?listen\s+([^;]+);|\bnotify\s+([^;,]+)", text, re.IGNORECASE)
        for channel in channels:
            assert re.fullmatch(r"'?order_events(_probe)?'?", "".join(channel)), path


def test_no_test_waits_for_a_time() -> None:
    """Tests wait for what they expect, in short steps of a bounded poll; a long sleep would be a guess."""
    sleep = re.compile(r"\b(?:asyncio|time)\.sleep\(([0-9._]+)\)")
    offences = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "tests").rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for seconds in sleep.findall(line)
        if float(seconds) > 0.1
    ]

    assert offences == []
