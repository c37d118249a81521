"""How many connections a listener has, in all and of one address: a flood takes no descriptor that the others need."""

from collections import Counter
from ipaddress import IPv6Address
from typing import Final

REFUSALS_MAX: Final = 100
"""Connections that are told at once why they are closed; beyond that they are closed without a word."""


class Connections:
    """Counts the connections of one listener.

    Args:
        most: Most connections at once.
        most_of_one: Most of one address at once; a proxy in front is one address.

    Attributes:
        full: Whether the latest found no room, and that was told.
        refusing: Those without room that are not closed yet.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._by_address: Counter[str] = Counter()
        self._open = 0
        self.full = False
        self.refusing = 0

    def enter(self, address: str) -> bool:
        """Count a new connection, where there is room for it."""
        if self._open >= self._most or self._by_address[address] >= self._most_of_one:
            return False
        self.full = False
        self._open += 1
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Forget one that had room."""
        self._open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def __len__(self) -> int:
        return self._open


def address_of(peername: object) -> str:
    """Return what stands for one peer: its IPv4 address, or the first half of its IPv6 one, all of which one host may use.

    Args:
        peername: Of the socket, as asyncio tells it; None where nobody knows any more.
    """
    if not isinstance(peername, tuple):
        return ""
    address = str(peername[0]).partition("%")[0]
    if ":" not in address:
        return address
    ipv6 = IPv6Address(address)
    return str(ipv6.ipv4_mapped or IPv6Address(int(ipv6) >> 64 << 64))
