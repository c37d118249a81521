"""Keeps journals of this release as fixtures: `python tests/record_journals.py 0.2` writes tests/fixtures/journals/0.2/.

Each is a real order's, one for each kind of history. What is kept is never written anew: later releases must replay it.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import orjson

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sql import migrate  # noqa: E402
from sql.connect import open_pool  # noqa: E402
from sql.embedded import embedded_server, with_database  # noqa: E402
from sql.models import Json  # noqa: E402
from tests.integration.orchestrator.histories import HISTORIES  # noqa: E402
from tests.integration.orchestrator.past import Past, history_of  # noqa: E402
from tests.integration.orchestrator.shop import open_shop  # noqa: E402


async def record(url: str, make: Callable[[Past], Awaitable[UUID]]) -> Json:
    """Make one order in a ledger of its own, and return its journal."""
    async with open_pool(url, name="recorder", connections_max=8) as pool, open_shop() as shop:
        history = await history_of(pool, await make(Past(pool, url, shop)))
    return history.to_json()


def main(arguments: list[str]) -> int:
    """Record what a release's folder lacks; return the exit code."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    kept = ROOT / "tests/fixtures/journals" / arguments[0]
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="saga-journals-") as folder, embedded_server(Path(folder), durable=False) as url:
        for name, make in HISTORIES.items():
            path = kept / f"{name}.json"
            if path.exists():
                continue
            ledger_url = with_database(url, name)
            migrate.create_database(ledger_url)
            migrate.apply(ledger_url, "ledger")
            document = asyncio.run(record(ledger_url, make))
            path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            print(f"kept {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
