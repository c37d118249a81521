"""An expected failure as one sentence, for people at a command line; a bug keeps its traceback."""

import psycopg
from psycopg_pool import PoolTimeout

from orchestrator.main import OrchestratorError
from orchestrator.operations.checkpoint import CheckpointError
from orchestrator.operations.conform import ConformError
from orchestrator.operations.ports import PortError
from orchestrator.operations.replaying import ReplayError
from orchestrator.operations.shop import ShopError
from orchestrator.operations.stack import StackError
from orchestrator.saga import DefinitionError
from orchestrator.settings import SettingsError
from sql.auditing import AuditFileError
from sql.embedded import EmbeddedError
from sql.events import FeedError
from sql.ledger import LedgerError
from sql.migrate import MigrationError

_EXPECTED = (
    AuditFileError,
    CheckpointError,
    ConformError,
    DefinitionError,
    EmbeddedError,
    FeedError,
    LedgerError,
    MigrationError,
    OrchestratorError,
    PortError,
    ReplayError,
    SettingsError,
    ShopError,
    StackError,
)
_SCHEMA_BEHIND = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction)


def sentence(error: Exception, *others: type[Exception]) -> str:
    """Say what went wrong.

    Args:
        error: What was raised.
        others: Expected exceptions beside those of this package and the database's.

    Raises:
        Exception: The error itself, when it is none of the expected.
    """
    if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        return sentence(error.exceptions[0], *others)
    if isinstance(error, (*_EXPECTED, *others)):
        return _one_line(str(error))
    if isinstance(error, _SCHEMA_BEHIND):
        return "the database's schema is behind this release: run `saga migrate`"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"the database refused: {_one_line(str(error))}"
    if isinstance(error, (psycopg.OperationalError, PoolTimeout)):
        return f"the database can't be reached: {_first_line(error)}; start it, or set SAGA_DATABASE_URL to another"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    raise error


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _first_line(error: Exception) -> str:
    return _one_line((str(error).strip().splitlines() or [type(error).__name__])[0])
