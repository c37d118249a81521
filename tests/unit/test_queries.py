"""Named queries are found at import, or the start stops."""

import pytest

from sql.loader import Queries


def test_a_query_that_does_not_exist_is_named() -> None:
    with pytest.raises(LookupError, match=r"sql/queries/wake.sql has no query 'sing'"):
        Queries("wake")["sing"]


def test_a_subject_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        Queries("weather")
