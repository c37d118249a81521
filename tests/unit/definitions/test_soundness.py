"""What is wrong with a definition is said before it runs, and nothing is said of one that is sound."""

import functools
import re
from typing import Any

import pytest

from orchestrator.builders import read
from orchestrator.saga import Retry, Saga, Signal, StepKind
from orchestrator.sagas import SHIPPED
from orchestrator.soundness import Level, compare, examine
from sql.definitions import Registered
from tests.unit.definitions.team import BOOK, LEAVE, PAY, PIVOT, UNSOUND, BookRoom, RoomRef, Trip, book_request, saga, step


@pytest.mark.parametrize("what", UNSOUND)
def test_what_can_not_be_run_is_an_error(what: str) -> None:
    unsound, says = UNSOUND[what]

    errors = [finding for finding in examine(unsound) if finding.level is Level.ERROR]

    assert any(re.search(says, str(finding)) for finding in errors), errors


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda shipped: shipped.name)
def test_nothing_is_wrong_with_what_ships(shipped: Saga[Any]) -> None:
    assert examine(shipped) == []


def test_nothing_is_wrong_with_a_sound_saga() -> None:
    sound = saga(
        PAY,
        Signal("word", when=lambda ctx: ctx.input.nights > 3, payload=Trip),
        step(),
        step(
            name="again",
            request=lambda ctx: BookRoom(room_id=ctx.results["pay"]["room_id"], nights=1 if "word" in ctx.results else 2),
        ),
        PIVOT,
        step(name="tell", compensation=None, kind=StepKind.RETRIABLE, retry=Retry(1.0, 10.0, 9, wait_max_s=60.0)),
    )

    assert examine(sound) == []


@pytest.mark.parametrize(
    ("unsure", "says"),
    [
        (saga(says=""), "does not say what it does"),
        (saga(stands=None), "what a completed one leaves"),
        (saga(step(kind=StepKind.READ_ONLY, compensation=None)), "read-only, but a POST"),
        (saga(step(retry=Retry(60.0, 4.0, 5)), deadline_s=100.0), "its time is over after 100 s"),
    ],
)
def test_what_is_unwise_is_a_warning(unsure: Saga[Any], says: str) -> None:
    (finding,) = examine(unsure)

    assert finding.level is Level.WARNING
    assert says in finding.says


def test_a_builder_without_source_of_its_own_is_an_error() -> None:
    (error, *_) = examine(saga(step(request=functools.partial(book_request))))

    assert "is neither a lambda nor a function" in error.says or "can't be read" in error.says


def test_two_lambdas_in_a_one_line_call_are_told_apart() -> None:
    one, two = step(request=lambda ctx: RoomRef(room_id=ctx.order_id)), step(request=lambda ctx: BookRoom(room_id="", nights=1))

    assert (read(one.request).made, read(two.request).made) == (RoomRef, BookRoom)


def test_changed_code_under_a_version_that_the_ledger_has_is_an_error() -> None:
    known = Registered("trip", 1, "other", ["rent"], 0)

    (finding,) = compare([saga()], [known], {"hotel"})

    assert finding.level is Level.ERROR
    assert "(rent is gone, book is new): raise its version" in finding.says


def test_orders_of_a_version_whose_code_is_gone_are_told_of() -> None:
    known = [Registered("trip", 1, "other", ["book"], 3), Registered("trip", 2, saga(version=2).fingerprint, ["book"], 7)]

    (finding,) = compare([saga(version=2)], known, {"hotel"})

    assert finding.says.startswith("3 orders are on version 1: keep its code")
    assert compare([saga(version=2)], known[1:], {"hotel"}) == []


def test_an_older_version_than_the_ledgers_and_a_participant_without_an_address_are_told_of() -> None:
    found = compare([saga()], [Registered("trip", 2, "other", ["book"], 0)], set())

    assert [finding.says.partition(":")[0] for finding in found] == [
        "the ledger has version 2 of it",
        "participant hotel has no address",
    ]
    assert {BOOK.participant, LEAVE.participant} == {"hotel"}
