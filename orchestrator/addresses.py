"""Addresses that may be called: those of participants and of webhooks."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
"""Where clouds tell a machine its secrets, beside 169.254.169.254, which is link-local."""
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
"""RFC 6052, and RFC 8215 for networks of one's own; of the latter the last 32 bits are the address in nearly every gateway."""
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses may be called; what is said of names holds for what they resolve to.

    Args:
        link_local: Whether a link-local address may be, and that of a cloud's metadata service.
        private: Whether loopback, private and otherwise not global addresses may be.
    """

    link_local: bool = False
    private: bool = True

    def refusal(self, host: str) -> str | None:
        """Return why a host must not be called, for a sentence; None for one that may be, and for a name."""
        address = _address(host)
        if address is None:
            return None
        if address.is_multicast or address.is_unspecified or (address.version == 4 and address.is_reserved):
            return "is a multicast, reserved or unspecified address"
        if not self.link_local and (address.is_link_local or address in _METADATA):
            return "is link-local or a cloud's metadata service, which only SAGA_ALLOW_LINK_LOCAL=1 lets be called"
        if not self.private and not _is_global(address) and not (address.is_link_local or address in _METADATA):
            return "is a loopback or private address, which only SAGA_WEBHOOK_PRIVATE=1 lets webhooks have here"
        return None


URL_MAX: Final = 2_000
"""Characters of a receiver's address."""
PARTICIPANTS: Final = Reach()
"""Where participants may be, and webhooks in dev, where nothing else is set."""


def http_url(text: str, reach: Reach = PARTICIPANTS) -> str:
    """Return the address of a participant as it is stored.

    Args:
        text: As it was given.
        reach: Where it may be; a name is looked up only when it is called.

    Raises:
        ValueError: It is none, or one that no participant has, such as that of a cloud's metadata service.
    """
    try:
        parts = urlsplit(text)
        usable = (
            parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not re.search(r"[\s\x00-\x1f]", text)
        )
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an http or https address without user, query or fragment")
    if why := reach.refusal(parts.hostname or ""):
        raise ValueError(f"must not be called: it {why}")
    return text.rstrip("/")


def receiver_url(text: str, reach: Reach = PARTICIPANTS) -> str:
    """Return the address of a receiver as it is stored; it may have a query, unlike a participant's.

    Args:
        text: As it was given.
        reach: Where it may be; a name is looked up only when it is called.

    Raises:
        ValueError: It is none, or one that no receiver has.
    """
    if len(text) > URL_MAX or not re.fullmatch(r"[\x21-\x7e]+", text) or "#" in text:
        raise ValueError(f"must be an http or https address of at most {URL_MAX:,} ASCII characters, without a fragment")
    parts = urlsplit(text)
    http_url(f"{parts.scheme}://{parts.netloc}", reach)
    return parts._replace(path=parts.path or "/").geturl()


def _address(host: str) -> Address | None:
    """Return the address that a host is, however it is written; None for a name."""
    try:
        # A scope says by which interface, not where to; two addresses that differ in it alone are not equal.
        address: Address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            # What connects also takes 2852039166, 0xA9FEA9FE or 169.254.43518 for an address.
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return _embedded(address) if isinstance(address, ipaddress.IPv6Address) else address


def _is_global(address: Address) -> bool:
    """Tell whether an address is in the Internet; Python takes the old site-local ones for global."""
    return address.is_global and not (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)


def _embedded(address: ipaddress.IPv6Address) -> Address:
    """Return the IPv4 address to which a gateway would send what is sent to this one; itself where there is none."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour or address
    if any(address in gateway for gateway in _NAT64) or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _shaped(text: str) -> str:
    return http_url(text, Reach(link_local=True))


HttpUrl = Annotated[str, AfterValidator(_shaped)]
"""A participant's address in the settings, which say themselves how far they reach."""
