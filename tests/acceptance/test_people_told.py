"""People are told by real replicas of an order that is stuck, though one of them dies over it, and see when they were told."""

import asyncio
import json
import shlex
import subprocess
from collections.abc import Sequence

import pytest

from tests.acceptance.stack import CLIENTS, Stack
from tests.acceptance.stack_shop import eventually, open_shop
from tests.acceptance.test_mending_orders import stuck
from tests.documents import commands
from tests.integration.webhooks.receiver import hangs, open_receiver, says
from tests.integration.webhooks.smtp import open_mail_server

pytestmark = pytest.mark.acceptance
PAGE = "docs/how-to/on-call.md"


async def test_people_hear_of_a_stuck_order_though_the_replica_that_told_them_died_over_it(stack: Stack) -> None:
    async with open_receiver() as people, open_mail_server() as mails, open_shop(stack) as shop:
        people.answers["/"] = [hangs, says(204)]
        settings = {"SAGA_ONCALL_URL": people.url, "SAGA_ONCALL_WINDOW_S": "1", "SAGA_ADMIN_URL": stack.admin_urls[0]}
        settings |= {
            "SAGA_ONCALL_MAIL_TO": "ann@shop.example",
            "SAGA_SMTP_HOST": "127.0.0.1",
            "SAGA_SMTP_PORT": str(mails.port),
        }
        settings |= {"SAGA_SMTP_SECURITY": "none"}
        with stack.only_replica(**settings) as dies:
            order = await stuck(shop, "needs-somebody")
            await eventually(lambda: _count(people.of("/"), 1), 30.0)
            dies.kill()
            stack.replicas = []
        with stack.only_replica(**settings):

            async def is_told() -> None:
                shown = await asyncio.to_thread(stack.saga, "ledger", "show", order, "--json")
                assert json.loads(shown.stdout)["notified_at"] is not None

            await eventually(is_told, 60.0)
            await eventually(lambda: _count(mails.mails, 1), 30.0)
            for words in (*commands(PAGE), 'saga webhooks remove oncall-webhook --reason "the test is over"'):
                if words.startswith("saga webhooks list"):
                    await eventually(lambda: _count(people.of("/"), 3), 60.0)
                done = await asyncio.to_thread(_typed, stack, words)
                assert done.returncode == 0, done.stderr
            # Nothing is left to be mended on a stack that others share.
            mended = await asyncio.to_thread(_typed, stack, "saga ledger retry --all --status STUCK --reason mended")
            assert mended.returncode == 0, mended.stderr

    assert [said["order_ledger_id"] for message in people.of("/")[:2] for said in message.event["orders"]] == [order, order]
    (said,) = people.of("/")[1].event["orders"]
    (as_on_the_page,) = people.of("/")[2].event["orders"]
    assert (as_on_the_page["status"], as_on_the_page["step"]) == ("STUCK", "create_order")
    assert (said["status"], said["link"]) == ("STUCK", f"{stack.admin_urls[0]}/#/orders/{order}")
    assert "could not be undone: create_order" in said["reason"]
    assert order in mails.mails[0][1].get_content()


def _typed(stack: Stack, words: str) -> subprocess.CompletedProcess[str]:
    """Do what a page says, on this stack."""
    command = shlex.split(words)
    if command[0] == "saga":
        return stack.saga(*command[1:])
    addresses = {"http://127.0.0.1:8101": stack.participants["orders"], "http://127.0.0.1:8080": stack.edge_urls[0]}
    for here, there in addresses.items():
        command = [word.replace(here, there) for word in command]
    return subprocess.run(
        [*command, "-H", f"Authorization: Bearer {CLIENTS['shop']}"], capture_output=True, text=True, check=False
    )


def _count(found: Sequence[object], number: int) -> None:
    assert len(found) >= number
