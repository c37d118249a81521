"""From a host to a connection: what a name resolves to is judged, and what was judged is what is dialled.

A name may resolve to another address each time it is asked for, so to judge it and then hand it on would judge nothing.
"""

import asyncio
import ipaddress
import socket

from orchestrator.addresses import Reach
from orchestrator.transport.exchange import Forbidden


async def resolve(host: str, port: int, reach: Reach) -> list[str]:
    """Return the addresses of a host that may be dialled, in the order in which they are to be tried.

    Args:
        host: A name or an address, however it is written.
        port: For the resolver.
        reach: Which may be.

    Raises:
        Forbidden: None of them may be.
        OSError: It can't be resolved.
    """
    refusals = {address: reach.refusal(address) for address in await _look_up(host, port)}
    allowed = [address for address, why in refusals.items() if why is None]
    if not allowed:
        raise Forbidden(f"{host} must not be called: {_listed(refusals)}")
    return allowed


async def _look_up(host: str, port: int) -> list[str]:
    try:
        # What is an address needs no resolver, whose few threads may all be waiting for a server of names.
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [_written(place) for *_, place in found]


def _listed(refusals: dict[str, str | None]) -> str:
    return "; ".join(f"{address} {why}" for address, why in refusals.items())


def _written(place: tuple[object, ...]) -> str:
    """Return an address of the resolver's as it is dialled; a link-local one needs its interface."""
    scope = place[3] if len(place) == 4 else 0
    return f"{place[0]}%{scope}" if scope else str(place[0])
