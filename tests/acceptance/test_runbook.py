"""Every command of the runbook and of the how-tos, typed in on a stack of real processes where orders are in need of it.

What needs containers, a cluster or a server of its own is held against what it names in `tests/unit/test_how_to.py`, or done in
`test_backups.py`.
"""

import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import psycopg
import pytest

from participants.settings import PORTS
from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import PRICE_MINOR, SKU, Shop, eventually
from tests.documents import ROOT, commands_in

pytestmark = pytest.mark.acceptance
TEXT = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
SECTIONS = {"The first ten seconds": TEXT.split("\n## ")[0]} | {
    part.split("\n", 1)[0]: part for part in re.split(r"^### ", TEXT, flags=re.MULTILINE)[1:]
}
HOW_TO = {
    f"how to: {name}": (ROOT / f"docs/how-to/{name}.md").read_text("utf-8") for name in ("deploy", "upgrade", "scale-out")
}
ELSEWHERE = {"docker", "kubectl", "make"}
MORE_THAN_THERE_IS = [{"sku": SKU, "quantity": 1_000_000, "unit_price_minor": PRICE_MINOR}]
LOOKED_AT: set[str] = set()
"""What only looks is run once: half of the sections begin with `saga health`."""
Ordered = Callable[[str], Awaitable[str]]


def commands_of(section: str) -> list[list[str]]:
    found = [shlex.split(command) for command in commands_in(section)]
    return [words for words in found if words[0] not in ELSEWHERE]


@pytest.fixture
async def ordered(shop: Shop, stack: Stack) -> AsyncIterator[Ordered]:
    """Give an order that a verb is for: a completed one for a cancel, one that waits for a pause, else one that is STUCK."""
    made: dict[str, str] = {}

    async def stuck() -> str:
        await shop.fail("payments", "reject", "/payments/void")
        order = await shop.place(f"runbook-{uuid4()}", items=MORE_THAN_THERE_IS)

        async def is_stuck() -> None:
            assert (await shop.get(order))["status"] == "STUCK"

        await eventually(is_stuck, 30)
        return order

    async def completed() -> str:
        order = await shop.place(f"runbook-{uuid4()}")
        assert (await shop.ends(order))["status"] == "COMPLETED"
        return order

    async def waiting() -> str:
        assert stack.saga("breaker", "hold", "inventory", "--reason", "a test").returncode == 0
        while True:
            order = await shop.place(f"runbook-{uuid4()}")
            # Replicas at work heed a breaker two seconds later.
            try:
                await shop.ends(order, 3)
            except AssertionError:
                return order

    # A retry ends the order that it is for, so what else is done to a stuck one gets another.
    kinds = {"cancel": completed, "pause": waiting, "resume": waiting, "show": stuck, "retry": stuck}

    async def order_for(verb: str) -> str:
        kind = kinds[verb].__name__ if verb in kinds else "mended by hand"
        if kind not in made:
            made[kind] = await kinds.get(verb, stuck)()
        return made[kind]

    yield order_for
    if "waiting" in made:
        assert stack.saga("breaker", "reset", "inventory", "--reason", "the test is over").returncode == 0
        assert stack.saga("ledger", "cancel", made["waiting"], "--reason", "the test is over").returncode == 0
        assert (await shop.ends(made["waiting"]))["status"] == "CANCELLED"
    for order in made.values():
        if (await shop.get(order))["status"] == "STUCK":
            assert stack.saga("ledger", "retry", order, "--reason", "the test is over").returncode == 0
            assert (await shop.ends(order))["status"] == "FAILED"


def there(word: str, stack: Stack) -> str:
    """Return a participant's address as it is on this stack."""
    served = {f"http://127.0.0.1:{port}": stack.participants[name] for name, port in PORTS.items()}
    return served.get(word, word)


def asked_of_the_ledger(stack: Stack, words: list[str]) -> None:
    """Do what `psql` would with a file or a statement."""
    assert words[:2] == ["psql", "$SAGA_DATABASE_URL"]
    option, value = words[2:]
    statement = (ROOT / value).read_text() if option == "-f" else value
    with psycopg.connect(stack.databases["ledger"]) as conn:
        assert conn.execute(statement.encode()).description


@pytest.mark.parametrize("section", SECTIONS | HOW_TO)
async def test_every_command_of_the_runbook_does_what_it_is_there_for(
    section: str, shop: Shop, stack: Stack, ordered: Ordered
) -> None:
    commands = commands_of((SECTIONS | HOW_TO)[section])
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
            if "FAILED" in words:
                failed = await shop.place(f"runbook-{uuid4()}", items=MORE_THAN_THERE_IS)
                assert (await shop.ends(failed))["status"] == "FAILED"
            done = stack.saga(*(there(word, stack) for word in words[1:]), **settings)
            # A reconciliation tells of the order that waits for an operator.
            assert done.returncode == 0 or (words[1] == "reconcile" and "stuck_order" in done.stdout), done
            assert done.stdout.strip()
    finally:
        if named_webhook:
            stack.saga("webhooks", "remove", "shop", "--reason", "the test is over")
        stack.saga("breaker", "reset", "payments", "--reason", "the test is over")


def test_every_command_is_in_a_section_that_is_run() -> None:
    typed = re.findall(r"^ *\$ ", TEXT, re.MULTILINE)

    assert len(typed) == sum(len(commands_of(section)) for section in SECTIONS.values())
