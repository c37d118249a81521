"""The wheel, installed away from the checkout, is the whole product."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT, clean_environment, run

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=120)
    (built,) = folder.glob("sagaledger-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an environment that has the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin/python"),
        "install",
        "--quiet",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True, timeout=120)
    # Not by PYTHONPATH: the parts of a stack have to find everything by themselves. This environment may hold the
    # checkout itself, as an editable install; a path file after the wheel's own folder leaves the wheel the first word.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    assert "cli.py" in names
    return folder / "bin/saga"


def test_the_wheel_holds_every_file_that_is_no_code(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "sql").rglob("*.sql")}
    assert sources
    assert sources <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]


def test_a_demo_runs_from_the_wheel_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    environment = clean_environment()
    del environment["PYTHONPATH"]

    result = run([str(installed), "demo", "--orders", "8"], cwd=tmp_path, env=environment, timeout_s=180)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "The audit is clean." in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_runs_its_own_code(installed: Path, tmp_path: Path) -> None:
    environment = clean_environment()
    del environment["PYTHONPATH"]

    code = "import cli, sql, edge_api, orchestrator, participants as p; print(cli.__file__, sql.__file__, p.__file__)"
    result = subprocess.run(
        [str(installed.with_name("python")), "-P", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert str(ROOT) not in result.stdout
    assert str(installed.parents[1]) in result.stdout
