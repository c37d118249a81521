"""Named queries are found at import, or the start stops."""

import pytest
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH

from sql.loader import Queries


def test_a_query_that_does_not_exist_is_named() -> None:
    with pytest.raises(LookupError, match=r"sql/queries/wake.sql has no query 'sing'"):
        Queries("wake")["sing"]


def test_a_subject_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        Queries("weather")


@pytest.mark.parametrize("name", ["insert_order", "claim_due", "write_transitions"])
def test_a_statement_of_every_order_is_short_enough_to_be_taken_apart_once(name: str) -> None:
    statement = Queries("ledger")[name]

    assert len(statement) <= MAX_CACHED_STATEMENT_LENGTH
    assert statement.splitlines()[0] == f"-- {name}"
