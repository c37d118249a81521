"""Alert rules and what routes them, read and played by Prometheus's and Alertmanager's own tools."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.tools import run

DEPLOY = Path(__file__).parents[3] / "deploy"
ALERTS = [rule["alert"] for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def test_prometheus_and_alertmanager_take_their_configurations() -> None:
    # Of Prometheus's the syntax only: the secrets that it names are where it runs.
    for arguments in (
        ("promtool", "check", "config", "--syntax-only", "prometheus.yml"),
        ("amtool", "check-config", "alertmanager.yml"),
    ):
        checked = run(*arguments, cwd=DEPLOY)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_fires_when_it_must_and_only_then() -> None:
    played = run("promtool", "test", "rules", "alerts_test.yml", cwd=DEPLOY)

    assert played.returncode == 0, played.stdout + played.stderr


@pytest.mark.parametrize("wrong", [{"expr": "vector(1) < 0"}, {"expr": "vector(1)"}, {"for": "0s"}], ids=str)
def test_the_play_notices_each_alert_that_never_fires_or_always_or_at_once(tmp_path: Path, wrong: dict[str, str]) -> None:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    for group in rules["groups"]:
        group["rules"] = [rule | wrong for rule in group["rules"]]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(DEPLOY / "alerts_test.yml", tmp_path)

    played = run("promtool", "test", "rules", "alerts_test.yml", cwd=tmp_path)

    assert played.returncode == 1
    noticed = set(re.findall(r'alertname="(\w+)"', played.stdout + played.stderr))
    assert set(ALERTS) - noticed == set()
