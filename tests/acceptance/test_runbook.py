"""Every command of the runbook, typed in on a stack of real processes where orders are in need of it."""

import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import PRICE_MINOR, SKU, Shop, eventually
from tests.documents import ROOT

pytestmark = pytest.mark.acceptance
TEXT = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
SECTIONS = {"The first ten seconds": TEXT.split("\n## ")[0]} | {
    part.split("\n", 1)[0]: part for part in re.split(r"^### ", TEXT, flags=re.MULTILINE)[1:]
}
MORE_THAN_THERE_IS = [{"sku": SKU, "quantity": 1_000_000, "unit_price_minor": PRICE_MINOR}]
LOOKED_AT: set[str] = set()
"""What only looks is run once: half of the sections begin with `saga health`."""
Ordered = Callable[[str], Awaitable[str]]


def commands_of(section: str) -> list[list[str]]:
    blocks = re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line.removeprefix("$ ")) for block in blocks for line in block.splitlines()]


@pytest.fixture
async def ordered(shop: Shop, stack: Stack) -> AsyncIterator[Ordered]:
    """Give an order that a verb is for, by the verb: one that is STUCK for a retry, a completed one for a cancel."""
    made: dict[str, str] = {}

    async def stuck() -> str:
        await shop.fail("payments", "reject", "/payments/void")
        order = await shop.place(f"runbook-stuck-{await shop.available()}-{id(made)}", items=MORE_THAN_THERE_IS)

        async def is_stuck() -> None:
            assert (await shop.get(order))["status"] == "STUCK"

        await eventually(is_stuck, 30)
        return order

    async def order_for(verb: str) -> str:
        kind = "completed" if verb == "cancel" else "stuck"
        if kind not in made:
            made[kind] = await stuck() if kind == "stuck" else await shop.place(f"runbook-{id(made)}")
            if kind == "completed":
                assert (await shop.ends(made[kind]))["status"] == "COMPLETED"
        return made[kind]

    yield order_for
    if "stuck" in made and (await shop.get(made["stuck"]))["status"] == "STUCK":
        assert stack.saga("ledger", "retry", made["stuck"], "--reason", "the test is over").returncode == 0
        assert (await shop.ends(made["stuck"]))["status"] == "FAILED"


def asked_of_the_ledger(stack: Stack, words: list[str]) -> None:
    """Do what `psql` would with a file or a statement."""
    assert words[:2] == ["psql", "$SAGA_DATABASE_URL"]
    option, value = words[2:]
    statement = (ROOT / value).read_text() if option == "-f" else value
    with psycopg.connect(stack.databases["ledger"]) as conn:
        assert conn.execute(statement.encode()).description


@pytest.mark.parametrize("section", SECTIONS)
async def test_every_command_of_the_runbook_does_what_it_is_there_for(
    section: str, shop: Shop, stack: Stack, ordered: Ordered
) -> None:
    commands = commands_of(SECTIONS[section])
    named_webhook = any("shop" in words for words in commands)
    settings = {"SAGA_PORT": stack.edge_urls[0].rpartition(":")[2]}
    if named_webhook:
        added = stack.saga("webhooks", "add", "shop", "http://127.0.0.1:9/hook", "--type", "CustomerRefused")
        assert added.returncode == 0, added.stderr
    assert commands
    try:
        for words in commands:
            if words[0] == "psql":
                asked_of_the_ledger(stack, words)
                continue
            assert words[0] == "saga"
            if "ID" not in words and "--reason" not in words:
                if " ".join(words) in LOOKED_AT:
                    continue
                LOOKED_AT.add(" ".join(words))
            if "ID" in words:
                words[words.index("ID")] = await ordered(words[2])
            done = stack.saga(*words[1:], **settings)
            # A reconciliation tells of the order that waits for an operator.
            assert done.returncode == 0 or (words[1] == "reconcile" and "stuck_order" in done.stdout), done
            assert done.stdout.strip()
    finally:
        if named_webhook:
            stack.saga("webhooks", "remove", "shop", "--reason", "the test is over")
        stack.saga("breaker", "reset", "payments", "--reason", "the test is over")


def test_every_command_is_in_a_section_that_is_run() -> None:
    typed = re.findall(r"^\$ ", TEXT, re.MULTILINE)

    assert len(typed) == sum(len(commands_of(section)) for section in SECTIONS.values())
