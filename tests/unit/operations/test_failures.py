"""What is expected to fail is told in one sentence; a bug keeps its traceback."""

import psycopg
import pytest

from orchestrator.operations.failures import sentence
from orchestrator.settings import SettingsError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SettingsError("SAGA_PORT: must be a number.\n"), "SAGA_PORT: must be a number"),
        (ExceptionGroup("tasks", [SettingsError("it is wrong")]), "it is wrong"),
        (psycopg.errors.UndefinedTable("no table"), "the database's schema is behind this release: run `saga migrate`"),
        (psycopg.errors.InsufficientPrivilege("not\nyours"), "the database refused: not yours"),
        (
            psycopg.OperationalError("refused\nand more"),
            "the database can't be reached: refused; start it, or set SAGA_DATABASE_URL to another",
        ),
        (FileNotFoundError(2, "No such file or directory", "orders.csv"), "orders.csv: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_expected_failure_is_one_sentence(error: Exception, told: str) -> None:
    assert sentence(error) == told


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a bug"), OSError("of no kind"), ExceptionGroup("two", [OSError(), OSError()])]
)
def test_a_bug_is_raised_again(error: Exception) -> None:
    with pytest.raises(type(error)):
        sentence(error)


def test_a_service_has_expected_failures_of_its_own() -> None:
    assert sentence(ZeroDivisionError("it can't be done"), ZeroDivisionError) == "it can't be done"
