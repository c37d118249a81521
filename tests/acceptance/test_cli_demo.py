"""`saga demo`: every scenario ends as it should, the audit is clean, and nothing is left."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT, clean_environment, saga, wait_for

pytestmark = pytest.mark.acceptance
REAL_DATA = Path(os.environ.get("SAGA_TEST_REAL_ORDERS", ROOT.parent / "shared/data/online-retail"))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files, with a name so short that a socket's fits behind it; nothing of a demo is left in it."""
    with tempfile.TemporaryDirectory(prefix="sg") as name:
        yield Path(name)
        assert list(Path(name).glob("sagaledger*")) == []
        assert not processes_in(Path(name))


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes whose folder or arguments are in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in command or str(folder) in os.readlink(process / "cwd"):
                found.append(command)
        except OSError:
            continue
    return found


def test_a_demo_shows_every_scenario_and_leaves_nothing(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / ".env").write_text("SAGA_LEASE_S=nonsense\nSAGA_ORDERS_DATABASE_URL=postgresql://nowhere/x\n")

    result = saga("demo", "--orders", "12", cwd=tmp_path, timeout_s=120, TMPDIR=str(scratch), SAGA_ENVIRONMENT="prod")

    assert result.returncode == 0, result.stdout + result.stderr
    seen = " ".join(result.stdout.split())
    assert "the first order is COMPLETED" in seen
    assert "is killed while it holds order" in seen
    assert "confirm fails for good: all is undone 1 FAILED 1 FAILED" in seen
    assert "cancelled while it runs 1 CANCELLED 1 CANCELLED" in seen
    assert "shipped, and the customer told 1 COMPLETED 1 COMPLETED" in seen
    assert "to be shipped to an unknown customer 1 FAILED 1 FAILED" in seen
    assert "in all 12" in seen
    assert "The audit is clean." in seen
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


def test_a_demo_that_is_interrupted_leaves_nothing(tmp_path: Path, scratch: Path) -> None:
    out = tmp_path / "out.txt"
    with out.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "demo", "--orders", "500"],
            cwd=tmp_path,
            env=clean_environment(TMPDIR=str(scratch)),
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: "the first order is" in out.read_text() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (1, "")


def test_a_file_is_replayed_and_every_line_accounted_for(tmp_path: Path, scratch: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "1,22423,CAKESTAND,1,2010-12-01 08:26:00,12.75,17850.0,United Kingdom\n"
        "1,22423,CAKESTAND,2,2010-12-01 08:26:00,12.75,17850.0,United Kingdom\n"
        "1,POST,POSTAGE,1,2010-12-01 08:26:00,18.0,17850.0,United Kingdom\n"
        "2,22424,BREAD BIN,1,2010-12-01 08:26:00,12.75,,France\n"
        "3,22424,,-3,2010-12-01 08:26:00,0.0,,France\n"
        "C4,22423,CAKESTAND,-1,2010-12-01 08:26:00,12.75,17850.0,United Kingdom\n"
        "5,22423,CAKESTAND,2,2010-12-01 08:26:00,12.75,13047.0,United Kingdom\n"
        "C6,22423,CAKESTAND,-2,2010-12-01 08:26:00,12.75,13047.0,United Kingdom\n"
    )

    result = saga("demo", "--replay", str(file), cwd=tmp_path, timeout_s=120, TMPDIR=str(scratch))

    assert result.returncode == 0, result.stdout + result.stderr
    seen = " ".join(result.stdout.split())
    assert "C4 1 of a part of an order, and orders are cancelled whole 1 x 22423 of line 1 of invoice 1; 2 of its 3" in seen
    assert "cancelled takes back an order that was cancelled for it 1" in seen
    assert "refused cancellation: of a part of an order, and orders are cancelled whole 1" in seen
    assert "merged same product and price twice in one invoice 1" in seen
    assert "placed 3" in seen
    assert "refused no product: postage or carriage 1" in seen
    assert "in all 8" in seen
    assert "CANCELLED 1 COMPLETED 2" in seen
    assert "The audit is clean." in seen


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real orders are not here; SAGA_TEST_REAL_ORDERS names their folder")
@pytest.mark.parametrize(("name", "lines"), [("2010-12-01.csv.gz", "3,108"), ("2010-12.csv.gz", "42,481")])
def test_real_orders_are_replayed(tmp_path: Path, scratch: Path, name: str, lines: str) -> None:
    result = saga("demo", "--replay", str(REAL_DATA / name), cwd=tmp_path, timeout_s=600, TMPDIR=str(scratch))

    assert result.returncode == 0, result.stdout + result.stderr
    assert f"in all {lines}" in " ".join(result.stdout.replace("in all  ", "in all ").split())
    assert "The audit is clean." in result.stdout
