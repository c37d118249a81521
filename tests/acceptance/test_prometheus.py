"""A real Prometheus on a stack of real processes: it loads the rules, and every query of the dashboards finds something."""

import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import yaml
from aiohttp.test_utils import unused_port

from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import Shop, eventually
from tests.tools import tool

pytestmark = pytest.mark.acceptance
DEPLOY = Path(__file__).parents[2] / "deploy"
NOTHING_YET = {"saga_calls_refused_total", "saga_webhook_attempts_total"}
"""What a stack that is well never counts: calls that are wrong themselves, attempts to webhooks that nobody has registered."""


class Prometheus:
    """A server that asks a stack for its metrics, as `deploy/prometheus.yml` has it, but for the addresses and the pace."""

    def __init__(self, folder: Path, stack: Stack, shop: Shop) -> None:
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
        urls = {
            "edge": stack.admin_urls,
            "orchestrator": [replica.url for replica in stack.replicas],
            "participant": list(stack.participants.values()),
        }
        jobs = {
            job.get("static_configs", [{}])[0].get("labels", {}).get("job", job["job_name"]) for job in config["scrape_configs"]
        }
        assert jobs == set(urls)
        targets = {job: [url.removeprefix("http://") for url in of] for job, of in urls.items()}
        config["scrape_configs"] = [{"job_name": job, "static_configs": [{"targets": of}]} for job, of in targets.items()]
        config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        config["rule_files"] = [str(DEPLOY / "alerts.yml")]
        del config["alerting"]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.processes = sum(map(len, targets.values()))
        self._shop = shop
        self._url = f"http://127.0.0.1:{unused_port()}"
        self._log = (folder / "log").open("wb")
        arguments = (
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self._url.removeprefix('http://')}",
        )
        self._process = subprocess.Popen([tool("prometheus"), *arguments], stdout=self._log, stderr=self._log)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    async def get(self, path: str, **asked: str) -> Any:
        try:
            answer = await self._shop.call("GET", f"{self._url}/api/v1/{path}?{urlencode(asked)}")
        except aiohttp.ClientError as error:
            raise AssertionError("it is not there yet") from error
        assert answer.status == 200, answer
        return answer.json["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("query", query=expression))["result"]
        return found


@pytest.fixture
async def prometheus(shop: Shop, stack: Stack, tmp_path: Path) -> AsyncIterator[Prometheus]:
    server = Prometheus(tmp_path, stack, shop)
    try:

        async def sees_all() -> None:
            assert len(await server.query("count_over_time(up[1m]) > 2 and up == 1")) == server.processes

        await eventually(sees_all, 60)
        yield server
    finally:
        server.stop()


async def work(shop: Shop, stack: Stack) -> None:
    """Have everything happen that dashboards show."""
    await shop.ends(await shop.place("prometheus-placed"))
    await shop.ends(await shop.place("prometheus-tried", saga="checkout_tcc"))
    await shop.ends(await shop.place("prometheus-cancelled", saga="checkout_tcc", payment_method="pm_declined"))
    assert (await shop.call("GET", f"{stack.edge_urls[0]}/events")).status == 200
    await shop.delay("inventory", 1200, "/inventory/reservations")
    await shop.place("prometheus-on-its-way")


async def test_every_query_of_the_dashboards_finds_what_a_running_stack_exposes(
    shop: Shop, stack: Stack, prometheus: Prometheus
) -> None:
    targets = [
        (f"{path.stem}: {panel['title']}", target["expr"], set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])))
        for path in (DEPLOY / "grafana/dashboards").glob("*.json")
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
        if not any(name in target["expr"] for name in NOTHING_YET)
    ]
    await work(shop, stack)

    assert len(targets) > 30
    for where, expression, shown in targets:

        async def finds(where: str = where, expression: str = expression, shown: set[str] = shown) -> None:
            found = await prometheus.query(expression)
            assert found, where
            assert all(shown <= series["metric"].keys() for series in found), where

        await eventually(finds, 30)


async def test_the_rules_are_evaluated_and_nobody_is_woken_for_a_stack_that_is_well(
    shop: Shop, stack: Stack, prometheus: Prometheus
) -> None:
    await work(shop, stack)
    alerts = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]

    async def evaluated() -> list[dict[str, Any]]:
        (group,) = (await prometheus.get("rules"))["groups"]
        assert [rule["health"] for rule in group["rules"]] == ["ok"] * len(alerts)
        rules: list[dict[str, Any]] = group["rules"]
        return rules

    rules = await eventually(evaluated, 30)
    assert [rule["name"] for rule in rules] == [alert["alert"] for alert in alerts]
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []
