"""What the benchmark writes from its figures, whichever of them there are."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import report

DRAIN: dict[str, Any] = {
    "sagas_s": 100.0,
    "worker_cpu_s": 1.0,
    "server_cpu_s": None,
    "transactions": 0.1,
    "fsyncs": 0.1,
    "wal_bytes": 2048.0,
    "memory_mb": 50.0,
}
FLOOR = {name: DRAIN[name] for name in ("sagas_s", "transactions", "fsyncs", "wal_bytes", "server_cpu_s")}


def results(**changes: Any) -> dict[str, Any]:
    drains = {
        "Sagaledger": [{**DRAIN, "sagas_s": rate} for rate in (300.0, 100.0, 200.0)],
        "DBOS": [{**DRAIN, "sagas_s": rate} for rate in (10.0, 10.0, 4.0)],
        "pgbench, six": [FLOOR],
    }
    singles = {"Sagaledger": [[1.0, 2.0, 3.0]], "DBOS": [[10.0, 20.0, 30.0]]}
    return {"facts": {"machine": "a"}, "tuning": {}, "drains": drains, "singles": singles, "named": {}, "failed": [], **changes}


def test_a_ratio_is_the_median_of_the_ratios_within_a_round() -> None:
    text = report.rendered(results())

    assert "| throughput against DBOS | at least 25 times | 30 | reached |" in text
    assert "| p50 on an idle system against DBOS | at most 0.25 | 0.10 | reached |" in text


def test_what_was_not_measured_is_said_to_be_so() -> None:
    text = report.rendered(results())

    assert "| throughput against absurd | at least 8 times | not measured |  |" in text
    assert "| DBOS | 10 | 4 to 10 | 1.00 | - |" in text


def test_what_misses_its_mark_is_shown_as_missed() -> None:
    claims = {"rows": 100, "due": 1000, "p50_ms": 5.0, "p99_ms": 11.5}

    assert "| at most 10 | 11.50 | **missed** |" in report.rendered(results(named={"claims": claims}))


def test_figures_are_written_between_the_marks_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(report, "PLOT", tmp_path / "plot.svg")

    report.write(results())

    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert (tmp_path / "plot.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_readme_without_marks_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing", encoding="utf-8")
    monkeypatch.setattr(report, "README", readme)

    with pytest.raises(report.NoMarks):
        report.write(results())

    assert readme.read_text(encoding="utf-8") == "nothing"


def test_saga_bench_outside_of_a_checkout_says_where_to_run_it(tmp_path: Path) -> None:
    ask = (
        "import pathlib, sys\n"
        "from orchestrator.operations.commands import bench\n"
        "bench.CHECKOUT = pathlib.Path(sys.argv[1])\n"
        "bench.bench([])\n"
    )

    told = subprocess.run([sys.executable, "-c", ask, str(tmp_path)], capture_output=True, text=True, check=False)

    assert told.returncode == 1
    assert told.stderr == "Error: the benchmark is not part of the package: run `make bench` in a checkout of the source\n"


def test_the_feed_is_held_against_its_marks() -> None:
    feed = {"events": 1000, "all_in_feed_s": 0.25, "events_s": 100, "lag_max": 100}

    text = report.rendered(results(named={"feed": feed}))

    assert "| 1,000 events written at once: seconds until a consumer has all | at most 1 | 0.25 | reached |" in text
    assert "| 100 events a second: events that the consumer lacks at most | below 100 | 100 | **missed** |" in text
