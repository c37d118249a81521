"""The phases of a TCC: which decision ends one, how long it took, and when a try was given up."""

from dataclasses import replace

import pytest

from orchestrator.machine import proceed, settle
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.phases import Phase, ended_phase
from orchestrator.progress import BEGINNING, Answered, GivenUp, Move, Progress, Round
from orchestrator.verb import CancelRequested
from tests.unit.core.sagas import TRY_CONFIRM_CANCEL, saga, step

TCC = saga(*TRY_CONFIRM_CANCEL)
YES, NO, SILENCE = Succeeded({}), Rejected("no"), Unknown("silence")


def ends(before: Progress, *outcomes: Outcome, on: int) -> tuple[Phase | None, Move]:
    """Make the calls that are next, at the age of `on` seconds, and answer them a second later."""
    called = proceed(TCC, before, age_s=float(on)).progress
    answers = tuple(Answered(step, outcome) for step, outcome in zip(called.on_its_way, outcomes, strict=True))
    move = settle(TCC, called, answers[0] if len(answers) == 1 else Round(answers))
    return ended_phase(TCC, called, move.progress, float(on + 1)), move


def test_a_try_ends_when_all_is_tried_and_a_confirm_when_all_is_confirmed() -> None:
    tried, move = ends(BEGINNING, YES, YES, on=10)
    confirmed, _ = ends(move.progress, YES, YES, on=20)

    assert (tried, confirmed) == (Phase("try", 1.0, False), Phase("confirm", 1.0, False))


def test_a_phase_lasts_from_its_first_attempt_to_its_end_whatever_it_waits_for() -> None:
    still, move = ends(BEGINNING, YES, SILENCE, on=10)
    ended, _ = ends(move.progress, YES, on=70)

    assert (still, ended) == (None, Phase("try", 61.0, False))


@pytest.mark.parametrize("answers", [(YES, NO), (SILENCE, NO), (NO, SILENCE)])
def test_a_try_that_is_refused_has_ended_in_time(answers: tuple[Outcome, Outcome]) -> None:
    ended, move = ends(BEGINNING, *answers, on=1)

    assert ended == Phase("try", 1.0, False)
    assert move.progress.ending is not None


def test_a_try_that_is_out_of_attempts_was_given_up() -> None:
    _, move = ends(BEGINNING, YES, SILENCE, on=1)
    ended, _ = ends(move.progress, SILENCE, on=2)

    assert ended == Phase("try", 2.0, True)


def test_a_try_whose_time_is_over_was_given_up() -> None:
    _, move = ends(BEGINNING, YES, SILENCE, on=1)
    late = settle(TCC, move.progress, GivenUp("it took too long"))

    assert ended_phase(TCC, move.progress, late.progress, 121.0) == Phase("try", 120.0, True)


def test_a_try_that_is_cancelled_on_request_was_not_given_up() -> None:
    _, move = ends(BEGINNING, YES, SILENCE, on=1)
    cancelled = settle(TCC, move.progress, CancelRequested("client", "changed my mind"))

    assert ended_phase(TCC, move.progress, cancelled.progress, 2.0) == Phase("try", 1.0, False)


def test_a_cancel_lasts_from_its_first_attempt_until_both_are_undone() -> None:
    _, move = ends(BEGINNING, YES, YES, on=10)
    confirm, move = ends(move.progress, NO, YES, on=20)
    still, move = ends(move.progress, YES, on=30)
    ended, _ = ends(move.progress, YES, on=40)

    assert (confirm, still, ended) == (Phase("confirm", 1.0, False), None, Phase("cancel", 11.0, False))


def test_a_confirm_that_nobody_answers_any_more_has_not_ended() -> None:
    _, move = ends(BEGINNING, YES, YES, on=1)
    _, move = ends(move.progress, YES, SILENCE, on=2)
    ended, move = ends(move.progress, SILENCE, on=3)

    assert move.progress.stuck is not None
    assert ended is None


def test_a_cancel_that_nobody_can_finish_has_not_ended() -> None:
    _, move = ends(BEGINNING, YES, NO, on=1)
    ended, move = ends(move.progress, NO, on=2)

    assert move.progress.stuck is not None
    assert ended is None


def test_a_saga_without_tries_has_no_phases() -> None:
    other = saga(step("held", deadline_s=60.0), step("refused"))
    called = proceed(other, BEGINNING, age_s=1.0).progress
    move = settle(other, called, Answered("held", YES))
    called = proceed(other, move.progress, age_s=2.0).progress
    move = settle(other, called, Answered("refused", NO))
    undoing = proceed(other, move.progress, age_s=3.0).progress
    move = settle(other, undoing, Answered("held", YES))

    assert undoing.of("held").began_s == 3.0
    assert ended_phase(other, undoing, move.progress, 4.0) is None


@pytest.mark.parametrize(("confirmed", "told"), [(YES, "Refunded"), (SILENCE, "Voided")])
def test_an_undo_is_told_of_the_last_step_that_is_known_to_be_done(confirmed: Outcome, told: str) -> None:
    """What was told to be done is told to be undone; what may have been done was never told."""
    try_stock, try_payment, confirm_stock, confirm_payment = TRY_CONFIRM_CANCEL
    steps = (
        try_stock,
        replace(try_payment, on_undo="Voided"),
        confirm_stock,
        replace(confirm_payment, on_success="Captured", on_undo="Refunded"),
    )
    tcc = saga(*steps, attempts_max=2)
    move = Move(BEGINNING)
    for outcomes in ((YES, YES), (NO, confirmed)):
        called = proceed(tcc, move.progress).progress
        answers = tuple(Answered(step, outcome) for step, outcome in zip(called.on_its_way, outcomes, strict=True))
        move = settle(tcc, called, Round(answers))

    called = proceed(tcc, move.progress).progress
    move = settle(tcc, called, Answered("try_payment", YES))

    assert (told, "try_payment") in move.events
