"""Addresses that may be called: those of participants and of webhooks."""

import ipaddress
import re
import socket
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def http_url(text: str) -> str:
    """Return the address of a participant as it is stored.

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
    if not usable or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an http or https address without user, query or fragment")
    if _is_forbidden(parts.hostname or ""):
        raise ValueError("must not be a link-local, multicast or unspecified address")
    return text.rstrip("/")


def _is_forbidden(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            # What connects also takes 2852039166, 0xA9FEA9FE or 169.254.43518 for an address.
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address.is_link_local or address.is_multicast or address.is_unspecified


HttpUrl = Annotated[str, AfterValidator(http_url)]
