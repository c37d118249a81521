"""What an operator may do to an order, one rule at a time."""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from orchestrator import machine
from orchestrator.asked import skippable
from orchestrator.opening import Request, open_order
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.preview import remains
from orchestrator.progress import (
    BEGINNING,
    Answered,
    Elapsed,
    GivenUp,
    Lapsed,
    Move,
    Observation,
    Progress,
    Skipped,
    StepState,
    TakenBack,
)
from orchestrator.saga import Saga, Signal
from orchestrator.verb import CancelRequested, Paused, Resolved, Resumed, Retried
from sql.models import Direction, Kind, Status
from tests.unit.core.sagas import Nothing, pivot, plain_saga, retriable, saga, step

YES, NO, UNCLEAR = Succeeded({}), Rejected("no"), Unknown("?")
PAUSE, RESUME, RETRY = Paused("ann", "look into it"), Resumed("ann", "looked"), Retried("ann", "mended")
CANCEL = CancelRequested("client", "no more")
COMPLETED, FAILED = Resolved(Status.COMPLETED, "ann", "by hand"), Resolved(Status.FAILED, "ann", "by hand")


def run(definition: Saga[Any], *seen: Outcome | Observation, progress: Progress = BEGINNING) -> Move:
    """Answer the calls of a saga in turn, and observe what is no answer; return the last decision."""
    move = Move(progress)
    for each in seen:
        if isinstance(each, Outcome):
            called = machine.proceed(definition, progress)
            move = machine.settle(definition, called.progress, Answered(called.calls[0].step, each))
        else:
            move = machine.settle(definition, progress, each)
        progress = move.progress
    return move


def skip(step: str) -> Skipped:
    return Skipped(step, "by hand", "ann")


def states(progress: Progress) -> list[str]:
    return [step.state.value for step in progress.steps.values()]


def calls(definition: Saga[Any], progress: Progress) -> list[str]:
    return [f"{call.direction.value} {call.step} {call.attempt}" for call in machine.proceed(definition, progress).calls]


STUCK = (YES, YES, NO, NO)
"""Two steps done, the third refused, and so is the undoing of the second: the first is undone next."""


def stuck(policy: Any = "continue") -> tuple[Saga[Any], Progress]:
    definition = plain_saga(3)
    definition = Saga("test", 1, definition.input, definition.steps, retry=definition.retry, undo_failure=policy)
    return definition, run(definition, *STUCK, *([YES] if policy == "continue" else [])).progress


def test_a_paused_order_makes_no_call_and_keeps_its_status() -> None:
    definition = plain_saga(2)

    move = run(definition, YES, PAUSE)

    assert (move.status, move.events, [(e.kind, e.outcome, e.actor) for e in move.entries]) == (
        Status.RUNNING, (), [(Kind.OPERATOR, "pause", "ann")],
    )  # fmt: skip
    assert machine.proceed(definition, move.progress).entries == ()


def test_the_answer_to_a_call_that_is_on_its_way_is_written_and_is_the_last() -> None:
    definition = plain_saga(2)
    called = machine.proceed(definition, BEGINNING).progress

    held = run(definition, PAUSE, progress=called).progress
    answered = machine.settle(definition, held, Answered("step_1", YES)).progress

    assert (answered.paused, states(answered)) == (True, ["succeeded"])
    assert machine.proceed(definition, answered).entries == ()


@pytest.mark.parametrize(("last", "status"), [(YES, Status.COMPLETED), (NO, Status.FAILED)])
def test_an_order_with_nothing_left_to_call_ends_though_it_is_paused(last: Outcome, status: Status) -> None:
    definition = plain_saga(1)
    held = run(definition, PAUSE, progress=machine.proceed(definition, BEGINNING).progress).progress

    move = machine.settle(definition, held, Answered("step_1", last))

    assert (move.status, move.progress.paused) == (status, False)


def test_a_resumed_order_goes_on_where_it_stood() -> None:
    definition = plain_saga(2, attempts_max=2)

    move = run(definition, YES, UNCLEAR, PAUSE, RESUME)

    assert calls(definition, move.progress) == ["action step_2 2"]
    assert (move.status, move.progress.round, move.progress.of("step_2").doubtful, move.delay_s) == (
        Status.RUNNING, 1, True, None,
    )  # fmt: skip


def test_a_resume_does_not_try_anew_what_could_not_be_undone() -> None:
    definition, _ = stuck()

    resumed = run(definition, *STUCK, PAUSE, RESUME).progress

    assert calls(definition, resumed) == ["compensation step_1 1"]
    assert resumed.of("step_2").state is StepState.COMPENSATION_FAILED


def test_a_resume_while_the_call_is_still_on_its_way_changes_nothing_but_the_hold() -> None:
    definition = plain_saga(1)
    called = machine.proceed(definition, BEGINNING).progress

    assert run(definition, PAUSE, RESUME, progress=called).progress == called


def test_a_step_with_a_time_limit_of_its_own_has_its_time_anew_when_its_order_is_resumed() -> None:
    definition = saga(step("a", deadline_s=60.0))
    called = machine.proceed(definition, BEGINNING, age_s=5.0).progress
    assert called.of("a").began_s == 5.0

    resumed = run(definition, Answered("a", UNCLEAR), PAUSE, RESUME, progress=called).progress

    assert machine.proceed(definition, resumed, age_s=900.0).progress.of("a").began_s == 900.0


def test_a_wait_begins_once_more_when_its_order_is_resumed() -> None:
    definition = saga(Signal("approval", timeout_s=60.0), step("a"))
    waiting = machine.proceed(definition, BEGINNING).progress

    resumed = run(definition, PAUSE, RESUME, progress=waiting).progress

    again = machine.proceed(definition, resumed)
    assert machine.status_of(definition, resumed) is Status.RUNNING
    assert (again.waits, again.delay_s, again.entries[0].round) == ("approval", 60.0, 2)


def test_neither_patience_nor_a_wait_ends_while_an_order_is_paused() -> None:
    definition = saga(Signal("approval", timeout_s=60.0), step("a"))
    held = run(definition, PAUSE, progress=machine.proceed(definition, BEGINNING).progress).progress

    for observation in (GivenUp("too late"), Elapsed("approval")):
        with pytest.raises(ValueError, match=r"hold|does not wait"):
            machine.settle(definition, held, observation)


def test_a_replica_that_holds_a_paused_order_neither_gives_it_up_nor_ends_its_wait() -> None:
    definition = saga(Signal("approval", timeout_s=60.0), step("a"))
    work = open_order(definition, Request(UUID(int=0), "client", "key", b"", Nothing(), {}, "correlation")).work
    waits = Move(machine.proceed(definition, BEGINNING).progress)

    held = run(definition, PAUSE, progress=waits.progress)

    assert (work.may_turn(waits), work.may_turn(held)) == (True, False)
    assert (work.elapsed(waits) == waits, work.elapsed(held) == held) == (False, True)
    assert work.onward(held).calls == ()


def test_a_cancel_of_a_paused_order_is_recorded_and_carried_out_once_it_is_resumed() -> None:
    definition = plain_saga(2)

    recorded = run(definition, YES, PAUSE, CANCEL)
    resumed = run(definition, RESUME, progress=recorded.progress)

    assert (recorded.status, recorded.progress.cancelling, recorded.progress.paused) == (Status.RUNNING, True, True)
    assert (resumed.status, calls(definition, resumed.progress)) == (Status.COMPENSATING, ["compensation step_1 1"])


def test_a_cancel_is_not_lost_when_the_last_call_of_a_paused_order_succeeds() -> None:
    definition = plain_saga(1)
    held = run(definition, PAUSE, CANCEL, progress=machine.proceed(definition, BEGINNING).progress).progress

    move = machine.settle(definition, held, Answered("step_1", YES))

    assert (move.status, move.progress.paused) == (Status.COMPENSATING, True)
    assert machine.proceed(definition, move.progress).entries == ()


@pytest.mark.parametrize("seen", [(PAUSE, PAUSE), (RESUME,), (PAUSE, RETRY), (COMPLETED,), (YES, YES, PAUSE, RESUME, FAILED)])
def test_what_makes_no_sense_of_a_state_is_refused(seen: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"already|only"):
        run(plain_saga(3), *seen)


def test_a_stuck_order_is_not_paused_and_what_gets_stuck_is_not_on_hold() -> None:
    definition, progress = stuck()

    with pytest.raises(ValueError, match="nothing happens"):
        run(definition, PAUSE, progress=progress)
    lapsed = run(plain_saga(1), PAUSE, Lapsed(too_often=True))
    assert (lapsed.status, lapsed.progress.paused) == (Status.STUCK, False)


def test_the_next_step_is_left_out_and_the_order_goes_on() -> None:
    definition = plain_saga(2)

    move = run(definition, YES, UNCLEAR, skip("step_2"))

    assert (move.status, move.progress.of("step_2").state) == (Status.COMPLETED, StepState.SKIPPED)
    assert [(e.kind, e.step, e.direction, e.outcome, e.actor) for e in move.entries] == [
        (Kind.OPERATOR, "step_2", None, "skip", "ann"),
        (Kind.STATUS, None, None, "COMPLETED", None),
    ]


def test_what_may_have_been_done_of_a_step_that_was_left_out_is_undone_with_the_rest() -> None:
    definition = plain_saga(2)

    move = run(definition, UNCLEAR, skip("step_1"), NO)

    assert calls(definition, move.progress) == ["compensation step_1 1"]


def test_a_paused_order_stays_so_when_a_step_of_it_is_left_out() -> None:
    definition = plain_saga(2)

    move = run(definition, PAUSE, skip("step_1"))

    assert (move.progress.paused, calls(definition, move.progress)) == (True, [])


def test_a_stuck_order_goes_on_without_the_step_that_it_is_stuck_on() -> None:
    definition = saga(step("first"), pivot("pay"), retriable("ship"), retriable("tell"), attempts_max=1)

    move = run(definition, YES, YES, UNCLEAR, skip("ship"))

    assert (move.status, calls(definition, move.progress)) == (Status.RUNNING, ["action tell 1"])


def test_a_compensation_that_failed_is_left_out_and_what_it_would_have_undone_stays() -> None:
    definition, progress = stuck()

    move = run(definition, skip("step_2"), progress=progress)

    assert (move.status, states(move.progress)) == (Status.FAILED, ["compensated", "skipped", "rejected"])
    assert (move.entries[0].direction, [event for event, _ in move.events]) == (Direction.COMPENSATION, ["OrderFailed"])
    assert remains(definition, progress, move.progress) == ("what step_2 did, or may have done, stays",)


def test_what_stopped_at_a_compensation_that_failed_goes_on_with_the_earlier_ones() -> None:
    definition, progress = stuck("stop")

    move = run(definition, skip("step_2"), progress=progress)

    assert (move.status, calls(definition, move.progress)) == (Status.COMPENSATING, ["compensation step_1 1"])


def test_each_compensation_that_failed_is_left_out_by_itself() -> None:
    definition = plain_saga(3)
    progress = run(definition, *STUCK, NO).progress

    one = run(definition, skip("step_2"), progress=progress)
    both = run(definition, skip("step_1"), progress=one.progress)

    assert skippable(definition, progress) == ("step_2", "step_1")
    assert (one.status, one.progress.stuck, calls(definition, one.progress)) == (
        Status.STUCK, "could not be undone: step_1", [],
    )  # fmt: skip
    assert both.status is Status.FAILED


def test_no_step_is_left_out_while_its_call_is_on_its_way_nor_before_its_turn() -> None:
    definition = plain_saga(3)
    called = machine.proceed(definition, run(definition, YES).progress).progress

    assert skippable(definition, called) == ()
    assert skippable(definition, run(definition, YES).progress) == ("step_2",)
    for progress, step_ in ((called, "step_2"), (run(definition, YES).progress, "step_3"), (stuck()[1], "step_1")):
        with pytest.raises(ValueError, match="not the next one"):
            run(definition, skip(step_), progress=progress)


def test_a_stuck_order_is_completed_by_an_operators_word() -> None:
    definition, progress = stuck()

    move = run(definition, COMPLETED, progress=progress)

    assert (move.status, [event for event, _ in move.events]) == (Status.COMPLETED, ["OrderCompleted"])
    assert states(move.progress) == ["compensated", "compensation_failed", "skipped"]
    assert machine.proceed(definition, move.progress).calls == ()
    assert remains(definition, progress, move.progress) == ("step_1 was undone, and stays so", "step_3 is left out")
    assert (move.entries[0].outcome, move.progress.reason) == ("resolve-completed", "resolved by ann: by hand")


def test_a_paused_order_fails_by_an_operators_word_and_what_was_done_stays() -> None:
    definition = plain_saga(3)
    progress = run(definition, YES, UNCLEAR, PAUSE).progress

    move = run(definition, FAILED, progress=progress)

    assert (move.status, states(move.progress)) == (Status.FAILED, ["skipped", "skipped"])
    assert machine.proceed(definition, move.progress).calls == ()
    assert remains(definition, progress, move.progress) == (
        "what step_1 did stays",
        "what step_2 did, or may have done, stays",
    )


@pytest.mark.parametrize("verb", [FAILED, COMPLETED, skip("step_1"), RETRY])
def test_a_call_that_was_on_its_way_when_its_order_was_put_aside_is_ended_with_the_verb(verb: Observation) -> None:
    definition = plain_saga(2)
    aside = machine.proceed(definition, BEGINNING).progress
    aside = replace(aside, stuck="the code failed")

    move = run(definition, verb, progress=aside)

    assert (move.entries[0].kind, move.entries[0].step, move.entries[0].outcome) == (Kind.TAKEOVER, "step_1", "unknown")
    assert move.progress.on_its_way == ()


def test_a_completed_order_is_taken_back_even_if_an_operator_said_that_it_is_completed() -> None:
    definition, progress = stuck()

    move = run(definition, COMPLETED, TakenBack("ann", "asked by phone"), progress=progress)

    assert move.status is Status.CANCELLED
