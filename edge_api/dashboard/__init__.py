"""The operators' page at the admin listener's `/`: files, served as they lie here.

No build step, and nothing comes from elsewhere. `shell.js` says how the page is made; a view is one file in `views/`. What the
files need is asked of the listener's other routes by whoever has signed in: the files hold no data.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}
"""The page can load and ask nothing but what this listener serves (its streams too), nobody can frame it, and no text can
become markup or script: the browser refuses to. The middleware adds the rest."""
TYPES: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
"""What is served of the folder, by the end of a file's name."""


def _found(folder: Traversable, prefix: str = "/") -> dict[str, Traversable]:
    """Return the page's files by the path that each is served at."""
    found: dict[str, Traversable] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _found(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in TYPES:
            found[prefix if entry.name == "index.html" else prefix + entry.name] = entry
    return found


FILES: Final = dict(sorted(_found(files(__name__)).items()))
"""Every file of the page by its path on the admin listener; `index.html` by that of its folder."""


def _serve(file: Traversable) -> Handler:
    body, content_type = file.read_bytes(), TYPES[file.name.rpartition(".")[2]]

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=HEADERS)

    return show


ROUTES: Final = [web.get(path, _serve(file), allow_head=False) for path, file in FILES.items()]
