"""Where the processes of a stack listen that is told nothing of it: on loopback, and nowhere else."""

import os
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import Shop

pytestmark = pytest.mark.acceptance
LISTENING = "0A"


def listening(pid: int) -> set[str]:
    """Addresses of the sockets on which a process listens, as Linux writes them."""
    links = (os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    own = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTENING and rest[5] in own:
                found.add(local.partition(":")[0])
    return found


async def test_every_listener_is_on_loopback_unless_told(stack: Stack, shop: Shop) -> None:
    await shop.ends(await shop.place("listening"), 30)

    addresses = [listening(process.pid) for process in stack.processes]

    assert len(addresses) >= 2 + 2 + 5
    assert set().union(*addresses) == {"0100007F"}
