"""Real processes outside dev: what they refuse to start without, and who is let in."""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.operations.ports import Ports
from tests.acceptance.commands import assert_told, call, clean_environment, saga, wait_for

pytestmark = pytest.mark.acceptance

TOKEN = "token-of-the-operators"
SECRETS = ",".join(f"{name}=of-{name}" for name in ("orders", "inventory", "payments", "shipping", "notifications"))
IN_FORCE_S = 2.0
"""Within which a revocation holds, on a machine that has nothing else to do."""


@contextlib.contextmanager
def running(part: str, folder: Path, **settings: str) -> Iterator[tuple[str, str]]:
    """Run a part; where its clients' listener is, and where operators ask."""
    with contextlib.closing(Ports()) as ports:
        port, other = (ports.reserve("127.0.0.1", 0, setting="nothing") for _ in range(2))
        where = {"SAGA_PORT": f"{port}", "SAGA_ADMIN_PORT": f"{other}"} if part == "edge" else {"SAGA_METRICS_PORT": f"{other}"}
        with (folder / f"{part}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", part],
                cwd=folder,
                env=clean_environment(**where, **settings),
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(lambda: call(f"http://127.0.0.1:{other}/readyz")[0] == 200 or process.poll() is not None)
            assert process.poll() is None, (folder / f"{part}.log").read_text()
            yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}"
        finally:
            process.kill()
            process.wait()


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def status(url: str, **headers: str) -> int:
    """Return the status of an answer, whatever its body is."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=40) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("environment", ["preview", "prod"])
@pytest.mark.parametrize(
    ("part", "settings", "said"),
    [
        ("edge", {"SAGA_ADMIN_TOKEN": TOKEN}, "no client has a key: make one by `saga keys create"),
        ("edge", {"SAGA_API_KEYS": "shop=key-of-shop"}, "SAGA_ADMIN_TOKEN is not set"),
        ("orchestrator", {"SAGA_METRICS_PORT": "0"}, "SAGA_ADMIN_TOKEN is not set: SAGA_METRICS_PORT needs one"),
    ],
)
def test_outside_dev_nothing_starts_whose_door_would_stand_open(
    ledger_url: str, tmp_path: Path, environment: str, part: str, settings: dict[str, str], said: str
) -> None:
    given = {"SAGA_DATABASE_URL": ledger_url, "SAGA_ENVIRONMENT": environment, "SAGA_PARTICIPANT_SECRETS": SECRETS, **settings}

    result = saga(part, cwd=tmp_path, **given)

    assert_told(result, 1, f"SAGA_ENVIRONMENT is {environment}", said)
    assert TOKEN not in result.stdout + result.stderr


def test_a_key_that_is_made_lets_in_and_one_that_is_revoked_does_not(ledger_url: str, tmp_path: Path) -> None:
    def keys(*arguments: str) -> Any:
        done = saga("keys", *arguments, "--json", cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    made = keys("create", "shop", "--scope", "orders")
    given = {"SAGA_DATABASE_URL": ledger_url, "SAGA_PARTICIPANT_SECRETS": SECRETS, "SAGA_ADMIN_TOKEN": TOKEN}
    with running("edge", tmp_path, SAGA_ENVIRONMENT="preview", **given) as (url, admin_url):
        assert status(f"{url}/orders") == 401
        assert call(f"{url}/orders", **bearing(made["key"])) == (200, {"orders": [], "next_cursor": None})
        assert status(f"{url}/events", **bearing(made["key"])) == 403
        assert status(f"{admin_url}/statistics", **bearing(made["key"])) == 403
        assert status(f"{admin_url}/statistics", **bearing(TOKEN)) == 200
        assert status(f"{admin_url}/") == 200
        later = keys("rotate", made["key_id"], "--overlap-s", "600")
        assert [status(f"{url}/orders", **bearing(key["key"])) for key in (made, later)] == [200, 200]

        keys("revoke", made["key_id"], "--reason", "it was seen in a log")

        wait_for(lambda: status(f"{url}/orders", **bearing(made["key"])) == 401, timeout_s=IN_FORCE_S + 5)
        assert status(f"{url}/orders", **bearing(later["key"])) == 200


def test_an_orchestrators_metrics_want_the_token_and_its_health_does_not(ledger_url: str, tmp_path: Path) -> None:
    with running("orchestrator", tmp_path, SAGA_DATABASE_URL=ledger_url, SAGA_ADMIN_TOKEN=TOKEN) as (_, url):
        assert [status(f"{url}/{path}") for path in ("healthz", "readyz", "metrics")] == [200, 200, 401]
        assert status(f"{url}/metrics", **bearing("wrong")) == 401
        assert status(f"{url}/metrics", **bearing(TOKEN)) == 200


def test_in_dev_metrics_are_open_until_there_is_a_token(ledger_url: str, tmp_path: Path) -> None:
    with running("orchestrator", tmp_path, SAGA_DATABASE_URL=ledger_url) as (_, url):
        assert status(f"{url}/metrics") == 200
