"""The page at the admin listener's `/`: what the ledger is doing and which participants are up, for a person.

Three files, served as they lie here: no build step, and nothing comes from elsewhere. The script reads `/statistics` and
`/health/participants` and has no other source.
"""

from importlib.resources import files
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}
"""The page can load and ask nothing but what this listener serves, and nobody can frame it. The middleware adds the rest."""


def _serve(name: str, content_type: str) -> Handler:
    body = files(__name__).joinpath(name).read_bytes()

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=HEADERS)

    return show


ROUTES: Final = [
    web.get("/", _serve("index.html", "text/html"), allow_head=False),
    web.get("/overview.js", _serve("overview.js", "text/javascript"), allow_head=False),
    web.get("/style.css", _serve("style.css", "text/css"), allow_head=False),
]
