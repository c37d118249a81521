"""What a process says of itself when it starts: which releases it is made of."""

import json
from importlib.metadata import version

import pytest

from sql.telling import NETWORK_FACING
from tests.acceptance.commands import wait_for
from tests.acceptance.stack import Process
from tests.acceptance.stack_shop import Shop

pytestmark = pytest.mark.acceptance


def told(process: Process) -> str | None:
    lines = [line for line in process.part.log.read_text().splitlines() if '"versions"' in line]
    return json.loads(lines[-1])["versions"] if lines else None


async def test_edge_and_orchestrator_log_the_releases_of_what_faces_the_network(shop: Shop) -> None:
    with shop.stack.only(SAGA_LOG_LEVEL="info"):
        assert (await shop.ends(await shop.place("started"), 30.0))["status"] == "COMPLETED"
        for process in (*shop.stack.edges, *shop.stack.replicas):
            assert wait_for(lambda p=process: told(p) is not None)
            versions = told(process)
            assert versions is not None
            for name in NETWORK_FACING:
                assert f"{name} {version(name)}" in versions
