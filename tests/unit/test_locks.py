"""Lock files: every line is pinned by hashes, none says where it comes from, and all fit what `pyproject.toml` asks for."""

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = (
    "requirements.lock",
    "requirements-otel.lock",
    "requirements-dev.lock",
    "bench/requirements.lock",
    "deploy/audit/requirements.lock",
)
PINNED = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)"
)
ASKED: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def logical_lines(lock: str) -> list[str]:
    text = (ROOT / lock).read_text(encoding="ascii")
    return [re.sub(r"\s+", " ", line).strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def pinned(lock: str) -> dict[str, list[Version]]:
    """Versions of each package; more than one where they differ by Python."""
    found: dict[str, list[Version]] = {}
    for line in logical_lines(lock):
        match = PINNED.fullmatch(line)
        assert match, f"{lock}: not pinned by hashes alone: {line[:80]}"
        found.setdefault(match["name"], []).append(Version(match["version"]))
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_has_hashes_and_none_an_address(lock: str) -> None:
    assert len(pinned(lock)) > 10
    assert "://" not in (ROOT / lock).read_text()
    assert "--index" not in (ROOT / lock).read_text()


def asked_of(lock: str) -> Iterator[Requirement]:
    if lock.startswith("requirements"):
        extras = ASKED["optional-dependencies"]
        more = {"requirements-dev.lock": ("otel", "test", "dev"), "requirements-otel.lock": ("otel",)}.get(lock, ())
        yield from map(
            Requirement, [*ASKED["dependencies"], *extras["build"], *(each for name in more for each in extras[name])]
        )
    else:
        lines = (ROOT / lock).with_suffix(".in").read_text().splitlines()
        yield from (Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_is_asked_for_in_a_version_that_is(lock: str) -> None:
    locked = pinned(lock)
    for asked in asked_of(lock):
        versions = locked.get(canonicalize_name(asked.name), [])
        assert versions, f"{lock} lacks {asked.name}: run `make lock`"
        assert all(asked.specifier.contains(version, prereleases=True) for version in versions), f"{lock}: {asked}"


def test_what_runs_is_the_same_wherever_it_is_installed() -> None:
    run, otel, dev = pinned("requirements.lock"), pinned("requirements-otel.lock"), pinned("requirements-dev.lock")

    assert {name: versions for name, versions in dev.items() if name in run} == run
    assert {name: versions for name, versions in dev.items() if name in otel} == otel
    assert run.items() <= otel.items()


def test_the_http_server_is_not_one_with_known_holes() -> None:
    assert min(pinned("requirements.lock")["aiohttp"]) >= Version("3.14.1")


@pytest.fixture
def audit_deps() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_deps", ROOT / "deploy/audit/audit_deps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SOUND = {"name": "a", "version": "1", "vulns": []}
HOLED = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ([SOUND], 0, "1 packages, and no vulnerability of any is known"),
        ([SOUND, HOLED], 1, "VULNERABLE b 2: CVE-1, mended in 3"),
        ([SOUND, UNKNOWN], 2, "NOT AUDITED: 1 of 2, which the database does not know: c"),
        ([HOLED, UNKNOWN], 1, "VULNERABLE b 2: CVE-1, mended in 3"),
    ],
)
def test_what_could_not_be_looked_up_is_never_taken_for_sound(
    said: list[dict[str, Any]], code: int, told: str, audit_deps: ModuleType
) -> None:
    verdict, sentences = audit_deps.judged(said)

    assert verdict == code
    assert told in sentences


@pytest.mark.parametrize("answer", ["", "no JSON", "{}"])
def test_a_database_that_can_not_be_reached_is_said_and_fails(
    answer: str, audit_deps: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    auditor = tmp_path / "pip-audit"
    auditor.write_text(f"#!{sys.executable}\nimport sys\nprint({answer!r})\nsys.exit('no route to it')\n")
    auditor.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert audit_deps.main(["requirements.lock"]) == 2
    assert "NOT AUDITED: the vulnerability database can't be reached: no route to it" in capsys.readouterr().err
