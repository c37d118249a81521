"""What a checkpoint says of an order, against what has become of it."""

from uuid import UUID

import pytest

from orchestrator.operations.checkpoint import compare
from sql.chain import Head, Standing

ORDER = UUID(int=7)
NOTED = Head(ORDER, 3, b"three")


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (Standing(ORDER, 3, False, b"three"), None),
        (Standing(ORDER, 9, False, b"three"), None),
        (Standing(ORDER, 3, True, b"three"), None),
        (Standing(ORDER, 9, True, b"nine"), None),  # it went on before it was purged, and nothing is left to compare
        (None, "it was removed"),
        (Standing(ORDER, 2, False, None), "ended at entry 3 and ends at 2"),
        (Standing(ORDER, 2, True, b"two"), "ended at entry 3 and ends at 2"),
        (Standing(ORDER, 3, False, b"else"), "entry 3 has another hash"),
        (Standing(ORDER, 9, False, b"else"), "entry 3 has another hash"),
        (Standing(ORDER, 9, False, None), "entry 3 has another hash"),
        (Standing(ORDER, 3, True, b"else"), "entry 3 has another hash"),
    ],
)
def test_what_stands_as_it_did_has_grown_or_was_purged_is_well_and_nothing_else(now: Standing | None, told: str | None) -> None:
    found = compare(NOTED, now)

    assert found is None if told is None else found is not None and told in found


def test_an_order_without_an_entry_has_no_hash_to_compare() -> None:
    assert compare(Head(ORDER, 0, None), Standing(ORDER, 2, False, None)) is None
