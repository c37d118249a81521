"""Clients and their keys, as `SAGA_API_KEYS` names them."""

import re
from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from edge_api.errors import EdgeError

_CLIENT: Final = re.compile(r"[A-Za-z0-9._:@-]{1,64}")
_KEY: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,256}")
"""Visible ASCII without the comma, which is what a header can carry and the setting can hold."""


def read_api_keys(setting: SecretStr | None) -> Mapping[str, str]:
    """Return the client of each key; a client may have several, so that keys can be changed one by one.

    Args:
        setting: `client=key,client=key`; None or empty for none, and then every caller is one client.

    Raises:
        EdgeError: It is not of this form. The sentence shows no key.
    """
    text = setting.get_secret_value().strip() if setting is not None else ""
    found: dict[str, str] = {}
    for number, entry in enumerate(text.split(",") if text else [], start=1):
        client, _, key = entry.strip().partition("=")
        if not _CLIENT.fullmatch(client) or not _KEY.fullmatch(key):
            raise EdgeError(
                f"SAGA_API_KEYS: entry {number} must be client=key, the client of up to 64 letters, digits and any of '._:@-',"
                " the key of up to 256 visible ASCII characters without a comma"
            )
        if key in found:
            raise EdgeError(f"SAGA_API_KEYS: entry {number} repeats a key")
        found[key] = client
    return found
