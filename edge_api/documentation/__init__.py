"""The page at the clients' `/docs`: the OpenAPI document for people, complete by itself.

::

    page (what stands where)  values (schemas in words)  examples (shapes of answers)  html (what is text stays text)

It is made when the edge starts, of the same document as `/openapi.json`. It has no script and asks for nothing: its one style
stands in it, and is the only thing that its policy lets act, by its hash.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Final

from edge_api.documentation.page import render
from sql.models import Json

STYLE: Final = files(__name__).joinpath("style.css").read_text("utf-8")
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}
"""The page loads nothing, runs nothing, and nobody can frame it. The middleware adds the rest."""


def page(document: Json) -> bytes:
    """Return the page that shows an OpenAPI document."""
    return render(document, STYLE).encode()
