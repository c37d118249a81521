"""Nothing that the code runs is a line for a shell, and nothing that comes from elsewhere is run as code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    ROOT / "cli.py",
    *(
        path
        for package in ("sql", "participants", "orchestrator", "edge_api", "deploy")
        for path in (ROOT / package).rglob("*.py")
    ),
]
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"}
EVALUATES = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "yaml.load", "shelve.open",
    "logging.config.dictConfig", "logging.config.fileConfig", "click.edit", "webbrowser.open",
}  # fmt: skip
STARTS_PROCESSES = {
    "orchestrator/operations/part.py",
    "orchestrator/operations/commands/bench.py",
    "deploy/audit/audit_deps.py",
}
"""Where processes are started: parts of a stack, the benchmark, the auditor of dependencies."""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_uses_a_shell_or_evaluates_data(path: Path) -> None:
    offences = []
    for name, call in calls(path):
        shell = any(keyword.arg == "shell" for keyword in call.keywords)
        if name in SHELLS | EVALUATES or shell or name.startswith(("os.exec", "os.spawn", "os.posix_spawn")):
            offences.append(f"{path.name}:{call.lineno} {name}")

    assert offences == []


def test_processes_are_started_in_few_places_and_by_a_list_of_arguments() -> None:
    found = set()
    for path in MODULES:
        for name, call in calls(path):
            if name.startswith("subprocess.") or "create_subprocess" in name:
                found.add(str(path.relative_to(ROOT)))
                assert isinstance(call.args[0], ast.List | ast.Name | ast.Attribute), f"{path}:{call.lineno}"
                assert not isinstance(call.args[0], ast.JoinedStr | ast.Constant)

    assert found == STARTS_PROCESSES
