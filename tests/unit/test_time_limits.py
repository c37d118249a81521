"""Whatever waits for something outside this process says for how long: connections, requests, names, other programs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("sql", "orchestrator", "edge_api", "participants")
MODULES = [ROOT / "cli.py", *(path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))]
LIMITS = {"timeout", "timeout_s", "connect_timeout"}
WAITING = {"connect", "acquire", "open_connection", "create_connection", "getaddrinfo", "urlopen", "wait_for"}
POOLS = {"AsyncConnectionPool", "ConnectionPool", "Pool"}
OF_A_SESSION = {"request", "get", "post", "put", "delete"}
PROGRAMS = {"run", "check_output", "check_call", "call"}
LIMITED_ELSEWHERE = {
    "sql/connect.py: connect": "the address has `connect_timeout`; see `_LIMITS`",
    "orchestrator/listener.py: _listen": "as above",
    "participants/database.py: _check_schema": "the address has `connect_timeout`",
    "orchestrator/transport/http1.py: _dial": "its caller, `_connect`",
    "orchestrator/transport/dialing.py: _look_up": "its callers' callers, which dial",
    "orchestrator/transport/fallback.py: _exchange": "its caller, `exchange`",
    "orchestrator/operations/ports.py: reserve": "an address of this machine, before anything is started",
    "orchestrator/operations/commands/bench.py: bench": "a person runs it and may end it",
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


class Waits(ast.NodeVisitor):
    """Finds what waits without a limit in sight, by the function it stands in."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._function = "module"
        self._limited = False

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer, self._function = (self._function, self._limited), node.name
        self._limited = False
        self.generic_visit(node)
        self._function, self._limited = outer

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        outer = self._limited
        for item in node.items:
            self.visit(item)
            # What stands to the right of a limit is limited by it.
            self._limited |= is_limit(item.context_expr)
        for statement in node.body:
            self.visit(statement)
        self._limited = outer

    def visit_Call(self, node: ast.Call) -> None:
        if waits(node) and not self._limited and not has_limit(node):
            self.found.append(self._function)
        self.generic_visit(node)


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def is_limit(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.timeout" and not is_none(node.args[0])


def waits(node: ast.Call) -> bool:
    name = name_of(node.func)
    owner = name_of(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    return (
        name in WAITING
        or (name in POOLS and isinstance(node.func, ast.Name))
        or (name in OF_A_SESSION and owner.strip("_") == "session")
        or (name in PROGRAMS and owner == "subprocess")
    )


def has_limit(node: ast.Call) -> bool:
    if name_of(node.func) == "wait_for" and len(node.args) > 1:
        return not is_none(node.args[1])
    return any(keyword.arg in LIMITS and not is_none(keyword.value) for keyword in node.keywords)


def unlimited(source: str) -> Iterator[str]:
    visitor = Waits()
    visitor.visit(ast.parse(source))
    yield from visitor.found


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_whatever_waits_has_a_limit(path: Path) -> None:
    found = {f"{named(path)}: {function}" for function in unlimited(path.read_text(encoding="utf-8"))}

    assert found <= LIMITED_ELSEWHERE.keys()


def test_every_exception_is_one() -> None:
    found = {f"{named(path)}: {function}" for path in MODULES for function in unlimited(path.read_text(encoding="utf-8"))}

    assert found == LIMITED_ELSEWHERE.keys()


@pytest.mark.parametrize(
    "source",
    [
        "async def f():\n    await psycopg.AsyncConnection.connect(url)",
        "async def f():\n    await psycopg.AsyncConnection.connect(url, connect_timeout=None)",
        "pool = AsyncConnectionPool(url, max_size=4)",
        "async def f():\n    await asyncio.wait_for(lock.acquire, None)",
        "async def f():\n    async with asyncio.timeout(None):\n        await session.get(url)",
        "async def f():\n    async with session.get(url), asyncio.timeout(1):\n        pass",
        "async def f():\n    async with asyncio.timeout(1):\n        def g():\n            return urlopen(url)",
        "def f():\n    subprocess.run(['psql'])",
    ],
)
def test_what_waits_for_ever_is_found(source: str) -> None:
    assert list(unlimited(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "async def f():\n    await psycopg.AsyncConnection.connect(url, connect_timeout=5)",
        "pool = AsyncConnectionPool(url, timeout=2.0)",
        "async def f():\n    await asyncio.wait_for(asking(), 2)",
        "async def f():\n    async with asyncio.timeout(1), session.get(url):\n        pass",
        "async def f():\n    async with asyncio.timeout(1):\n        await loop.create_connection(p)",
        "def f():\n    subprocess.run(['psql'], timeout=5)",
        "operation.request(names)",
    ],
)
def test_what_waits_with_a_limit_is_left_alone(source: str) -> None:
    assert list(unlimited(source)) == []
