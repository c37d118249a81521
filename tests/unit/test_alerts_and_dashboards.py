"""Alerts, their tests, their runbook and the dashboards, held against each other and against the metrics that there are."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sql.models import Status
from tests.metrics import EXPOSED
from tests.promql import asked, grouped

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
PHASES = {"try", "confirm", "cancel"}
OUTCOMES = {"succeeded", "rejected", "unknown"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules()}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            yield f"{path.stem}: {panel['title']}", panel


def expressions() -> Iterator[tuple[str, str, str]]:
    """Every expression with where it stands and the text in which its labels are shown."""
    for name, rule in ALERTS.items():
        yield f"alert {name}", rule["expr"], rule["annotations"]["summary"].replace("$labels.", "")
    for title, panel in panels():
        for target in panel["targets"]:
            yield title, target["expr"], target["legendFormat"]


def is_value(name: str, label: str, value: str) -> bool:
    """Tell whether a label can have this value; one that is not known here can have any."""
    if label == "status":
        return name.startswith("http_") or set(value.split("|")) <= set(Status)
    known = {"phase": PHASES, "outcome": OUTCOMES, "job": set(EXPOSED), "kind": {"live", "dead"}, "source": {"cache", "disk"}}
    return label not in known or set(value.split("|")) <= known[label]


@pytest.mark.parametrize(("where", "expression", "shown"), list(expressions()), ids=lambda text: str(text)[:60])
def test_an_expression_uses_metrics_labels_and_values_that_there_are(where: str, expression: str, shown: str) -> None:
    metrics = asked(expression)

    assert metrics, where
    for metric in metrics:
        assert {label for label, _, _ in metric.matchers} <= metric.labels, metric.name
        assert [m for m in metric.matchers if not is_value(metric.name, m[0], m[2])] == []
    of_all = set().union(*(metric.labels for metric in metrics))
    assert grouped(expression) <= of_all
    assert set(re.findall(r"\{\{ ?(\w+) ?\}\}", shown)) <= (grouped(expression) or of_all)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_for_how_long_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]

    assert rule["labels"] in ({"severity": "page"}, {"severity": "warn"})
    assert re.fullmatch(r"[1-9][0-9]*[mh]", rule["for"])
    assert rule["annotations"].keys() == {"summary", "action", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"


def test_each_alert_has_its_section_in_the_runbook_and_each_section_its_alert() -> None:
    text = (ROOT / "docs/runbook.md").read_text()

    assert re.findall(r"^### (.+)$", text, re.MULTILINE) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_a_section_of_the_runbook_says_all_that_is_needed_at_three_in_the_morning(name: str) -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    section = text.split(f"### {name}\n")[1].split("\n#")[0]

    for part in ("**Means:**", "**Look:**", "**Do:**", "**Not:**"):
        assert section.count(part) == 1, part


def test_each_alert_is_played_until_it_fires_and_while_it_must_not() -> None:
    played: dict[str, set[bool]] = {name: set() for name in ALERTS}
    for test in yaml.safe_load((ROOT / "deploy/alerts_test.yml").read_text())["tests"]:
        for check in test.get("promql_expr_test", []):
            (name,) = re.findall(r'alertname="(\w+)"', check["expr"])
            played[name].add(bool(check["exp_samples"]))

    assert {name: of for name, of in played.items() if of != {True, False}} == {}


def test_what_keeps_other_alerts_quiet_and_what_is_kept_quiet_exist() -> None:
    config = yaml.safe_load((ROOT / "deploy/alertmanager.yml").read_text())

    named = {
        name
        for rule in config["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
        for name in re.findall(r'"([^"]+)"', matcher)[0].split("|")
    }
    assert named - ALERTS.keys() == set()
    receivers = {receiver["name"] for receiver in config["receivers"]}
    assert {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])} == receivers


def test_dashboards_are_those_that_are_written_down() -> None:
    spec = importlib.util.spec_from_file_location("build", ROOT / "deploy/grafana/build.py")
    assert spec
    assert spec.loader
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)

    assert {path.stem: path.read_text() for path in DASHBOARDS} == {name: build.text_of(name) for name in build.DASHBOARDS}
    assert set(build.DASHBOARDS) == {"sagas", "participants", "tcc", "events", "database"}


def test_every_metric_that_is_promised_is_exposed() -> None:
    promised = {
        "saga_started_total", "saga_finished_total", "saga_duration_seconds", "saga_active", "saga_step_attempts_total",
        "saga_step_duration_seconds", "saga_claims_total", "saga_claim_lag_seconds", "saga_listener_connected",
        "saga_lease_lost_total", "saga_outbox_pending", "saga_outbox_dead", "saga_breaker_state",
        "saga_tcc_phase_duration_seconds", "saga_tcc_timeouts_total", "http_request_duration_seconds",
    }  # fmt: skip

    assert promised <= set().union(*EXPOSED.values())


def test_the_document_lists_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| (`(?:saga|http)_.+?) \| (.*?) ?\| .+ \|$", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE)
    written = {name: set(re.findall(r"`(\w+)`", labels)) for names, labels in rows for name in re.findall(r"`(\w+)`", names)}

    assert written == {name: labels for of in EXPOSED.values() for name, labels in of.items()}
