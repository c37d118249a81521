"""The rules of the core, one at a time."""

import pytest

from orchestrator import machine
from orchestrator.answers import SPARED
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.progress import BEGINNING, Answered, GivenUp, Lapsed, Move, Progress, StepState
from orchestrator.saga import Retry, Saga
from orchestrator.verb import CancelRequested, Retried
from sql.models import Direction, Kind, Status
from tests.unit.core.sagas import PROBE, plain_saga, saga, step

REJECTED, UNKNOWN, SUCCEEDED = Rejected("no"), Unknown("?"), Succeeded({})


def run(definition: Saga, *outcomes: Outcome, progress: Progress | None = None) -> Move:
    """Answer the calls of a saga in turn; return the last decision."""
    progress = progress or BEGINNING
    move = Move(progress)
    for outcome in outcomes:
        call = machine.proceed(definition, progress).calls[0]
        move = machine.settle(definition, machine.proceed(definition, progress).progress, Answered(call.step, outcome))
        progress = move.progress
    return move


def test_waits_of_the_default_policy_are_1_4_16_64_seconds() -> None:
    definition = saga(step("a"))
    definition = Saga("test", 1, definition.input, definition.steps, retry=Retry())

    waits = [run(definition, *[UNKNOWN] * failures).delay_s for failures in range(1, 6)]

    assert waits == [1.0, 4.0, 16.0, 64.0, None]


def test_the_fifth_unknown_is_the_last_and_undoes_the_step_itself() -> None:
    definition = Saga("test", 1, plain_saga(1).input, plain_saga(1).steps, retry=Retry())

    move = run(definition, *[UNKNOWN] * 5)

    assert machine.status_of(definition, move.progress) is Status.COMPENSATING
    assert machine.proceed(definition, move.progress).calls[0].step == "step_1"


def test_a_longer_retry_after_is_honoured_up_to_its_cap() -> None:
    definition = plain_saga(1)

    assert run(definition, Unknown("busy", retry_after_s=7.0)).delay_s == 7.0
    assert run(definition, Unknown("busy", retry_after_s=0.1)).delay_s == 1.0
    assert run(definition, Unknown("busy", retry_after_s=1e9)).delay_s == 300.0


def test_a_rejected_step_is_left_out_of_the_undoing() -> None:
    definition = plain_saga(3)

    move = run(definition, SUCCEEDED, SUCCEEDED, REJECTED)

    assert machine.proceed(definition, move.progress).calls[0].step == "step_2"
    assert run(definition, SUCCEEDED, SUCCEEDED, REJECTED, SUCCEEDED, SUCCEEDED).progress.of("step_3").attempts == 0


def test_an_unknown_attempt_obliges_the_undo_even_when_a_later_one_was_rejected() -> None:
    definition = plain_saga(2)

    move = run(definition, SUCCEEDED, UNKNOWN, REJECTED)

    assert machine.proceed(definition, move.progress).calls[0].step == "step_2"


def test_compensations_run_in_reverse_order() -> None:
    definition, undone = plain_saga(3), []
    move = run(definition, SUCCEEDED, SUCCEEDED, UNKNOWN, UNKNOWN)

    while calls := machine.proceed(definition, move.progress).calls:
        undone.append(calls[0].step)
        move = run(definition, SUCCEEDED, progress=move.progress)

    assert undone == ["step_3", "step_2", "step_1"]
    assert machine.status_of(definition, move.progress) is Status.FAILED


def test_a_step_undone_by_another_has_no_call_of_its_own_and_ends_compensated() -> None:
    definition = saga(step("create"), step("hold"), step("confirm", undone_by="create"))

    move = run(definition, SUCCEEDED, SUCCEEDED, UNKNOWN, UNKNOWN, SUCCEEDED, SUCCEEDED)

    assert machine.status_of(definition, move.progress) is Status.FAILED
    assert move.progress.of("confirm").state is StepState.COMPENSATED


def test_a_refused_payment_with_nothing_done_before_it_declines_the_order() -> None:
    definition = saga(step("pay", at_edge=True, declines=True), step("create"))

    move = run(definition, REJECTED)

    assert machine.status_of(definition, move.progress) is Status.DECLINED
    assert [type_ for type_, _ in move.events] == ["OrderDeclined"]


def test_a_payment_that_is_refused_after_an_unclear_attempt_is_voided_before_the_order_is_declined() -> None:
    definition = saga(step("pay", at_edge=True, declines=True), step("create"))

    refused = run(definition, UNKNOWN, REJECTED)

    assert machine.status_of(definition, refused.progress) is Status.COMPENSATING
    assert machine.status_of(definition, run(definition, SUCCEEDED, progress=refused.progress).progress) is Status.DECLINED


def test_the_status_follows_the_edge_step() -> None:
    definition = saga(step("pay", at_edge=True), step("create"))
    authorized = run(definition, SUCCEEDED).progress

    assert machine.status_of(definition, BEGINNING) is Status.RECEIVED
    assert machine.status_of(definition, machine.proceed(definition, BEGINNING).progress) is Status.RECEIVED
    assert machine.status_of(definition, authorized) is Status.PENDING
    assert machine.status_of(definition, machine.proceed(definition, authorized).progress) is Status.RUNNING
    assert machine.status_of(definition, run(definition, SUCCEEDED, SUCCEEDED).progress) is Status.COMPLETED


def test_a_lapse_spends_no_attempt_of_the_retry_budget_but_leaves_the_step_in_doubt() -> None:
    definition = plain_saga(1)
    begun = machine.proceed(definition, BEGINNING).progress

    lapsed = machine.settle(definition, begun, Lapsed())
    unknown = run(definition, UNKNOWN, progress=lapsed.progress)

    assert (lapsed.entries[0].kind, lapsed.entries[0].outcome) == (Kind.TAKEOVER, "unknown")
    assert lapsed.progress.of("step_1").doubtful
    assert unknown.delay_s == 1.0
    assert unknown.progress.of("step_1").attempts == 2


def test_a_claim_that_lapsed_too_often_is_stuck_and_not_undone() -> None:
    definition = plain_saga(1)

    lapsed = machine.settle(definition, machine.proceed(definition, BEGINNING).progress, Lapsed(too_often=True))

    assert machine.status_of(definition, lapsed.progress) is Status.STUCK
    assert lapsed.progress.direction is Direction.ACTION
    assert not machine.proceed(definition, lapsed.progress).calls


def test_the_outcome_of_a_call_on_its_way_counts_when_the_order_is_cancelled() -> None:
    definition = plain_saga(2)
    begun = machine.proceed(definition, BEGINNING).progress

    cancelling = machine.settle(definition, begun, CancelRequested("client", "changed my mind")).progress
    answered = machine.settle(definition, cancelling, Answered("step_1", SUCCEEDED))

    assert machine.status_of(definition, cancelling) is Status.RUNNING
    assert answered.progress.of("step_1").state is StepState.SUCCEEDED
    assert machine.status_of(definition, answered.progress) is Status.COMPENSATING
    assert machine.status_of(definition, run(definition, SUCCEEDED, progress=answered.progress).progress) is Status.CANCELLED


def test_an_order_that_nobody_works_on_turns_round_at_once_when_cancelled() -> None:
    move = machine.settle(plain_saga(1), BEGINNING, CancelRequested("client", "changed my mind"))

    assert machine.status_of(plain_saga(1), move.progress) is Status.CANCELLED
    assert [entry.kind for entry in move.entries] == [Kind.OPERATOR, Kind.STATUS]


def test_an_undo_that_fails_for_good_does_not_keep_the_others_from_being_undone() -> None:
    definition = plain_saga(3)

    move = run(definition, SUCCEEDED, SUCCEEDED, REJECTED, REJECTED)

    assert move.progress.of("step_2").state is StepState.COMPENSATION_FAILED
    assert move.events == (("CompensationFailed", "step_2"),)  # at once, not when the rest is undone
    assert machine.proceed(definition, move.progress).calls[0].step == "step_1"
    stuck = run(definition, SUCCEEDED, progress=move.progress)
    assert machine.status_of(definition, stuck.progress) is Status.STUCK
    assert stuck.progress.stuck == "could not be undone: step_2"
    assert stuck.entries[-1].reason == "could not be undone: step_2"


def test_a_stuck_undo_goes_on_in_a_new_round_with_fresh_attempts() -> None:
    definition = plain_saga(2)
    stuck = run(definition, SUCCEEDED, REJECTED, UNKNOWN, UNKNOWN)

    retried = machine.settle(definition, stuck.progress, Retried("ops", "the bank is back"))
    move = machine.proceed(definition, retried.progress)

    assert machine.status_of(definition, stuck.progress) is Status.STUCK
    assert machine.status_of(definition, retried.progress) is Status.COMPENSATING
    assert (move.entries[0].round, move.entries[0].attempt, move.calls[0].step) == (2, 1, "step_1")


def test_a_retry_of_what_is_not_stuck_is_refused() -> None:
    with pytest.raises(ValueError, match="only a stuck order"):
        machine.settle(plain_saga(1), BEGINNING, Retried("ops", "impatience"))


def test_an_answer_to_a_call_that_is_not_on_its_way_is_refused() -> None:
    with pytest.raises(ValueError, match="not on its way"):
        machine.settle(plain_saga(1), BEGINNING, Answered("step_1", SUCCEEDED))


def test_a_call_on_its_way_is_not_made_again() -> None:
    begun = machine.proceed(plain_saga(1), BEGINNING).progress

    with pytest.raises(ValueError, match="have not ended"):
        machine.proceed(plain_saga(1), begun)


def test_the_cause_of_the_undoing_is_kept_to_the_end() -> None:
    move = run(plain_saga(2), SUCCEEDED, Rejected("sold out"), SUCCEEDED)

    assert move.progress.reason == "step_2 was rejected: sold out"
    assert move.entries[-1].reason == "step_2 was rejected: sold out"


def test_progress_survives_its_stored_form() -> None:
    progress = run(plain_saga(2), SUCCEEDED, UNKNOWN).progress

    assert Progress.from_json(progress.to_json()) == progress
    assert Progress.from_json({"direction": "action"}) == BEGINNING


def test_retries_are_counted_over_the_whole_order() -> None:
    move = run(plain_saga(2), UNKNOWN, SUCCEEDED, UNKNOWN, SUCCEEDED)

    assert move.progress.retries == 2
    assert run(plain_saga(1), UNKNOWN).progress.retries == 1
    assert run(plain_saga(1), UNKNOWN, UNKNOWN).progress.retries == 1


def test_an_order_that_was_being_cancelled_when_it_got_stuck_is_undone_when_retried() -> None:
    definition = plain_saga(2)
    begun = machine.proceed(definition, run(definition, SUCCEEDED).progress).progress
    cancelling = machine.settle(definition, begun, CancelRequested("client", "changed my mind")).progress
    stuck = machine.settle(definition, cancelling, Lapsed(too_often=True)).progress

    retried = machine.settle(definition, stuck, Retried("ops", "mended"))

    assert machine.status_of(definition, retried.progress) is Status.COMPENSATING
    assert machine.proceed(definition, retried.progress).calls[0].direction is Direction.COMPENSATION


PROBED = saga(step("first"), step("second", probe=PROBE))


def test_only_after_the_last_attempt_a_probe_asks_what_became_of_them() -> None:
    once, twice = run(PROBED, SUCCEEDED, UNKNOWN), run(PROBED, SUCCEEDED, UNKNOWN, UNKNOWN)

    probe = machine.proceed(PROBED, twice.progress).calls[0]

    assert not machine.proceed(PROBED, once.progress).calls[0].probe
    assert (probe.step, probe.direction, probe.attempt, probe.probe) == ("second", Direction.ACTION, 3, True)
    assert (once.delay_s, twice.delay_s) == (1.0, None)


def test_what_a_probe_finds_done_is_done() -> None:
    move = run(PROBED, SUCCEEDED, UNKNOWN, UNKNOWN, SUCCEEDED)

    assert machine.status_of(PROBED, move.progress) is Status.COMPLETED


def test_what_a_probe_finds_refused_for_ever_is_left_out_of_the_undoing() -> None:
    move = run(PROBED, SUCCEEDED, UNKNOWN, UNKNOWN, REJECTED)

    assert machine.proceed(PROBED, move.progress).calls[0].step == "first"


def test_what_a_probe_does_not_find_is_undone_since_it_may_still_arrive() -> None:
    move = run(PROBED, SUCCEEDED, UNKNOWN, UNKNOWN, UNKNOWN)
    undo = machine.proceed(PROBED, move.progress).calls[0]

    assert (undo.step, undo.direction, undo.probe) == ("second", Direction.COMPENSATION, False)


def test_a_probe_whose_owner_died_is_asked_again() -> None:
    asked = machine.proceed(PROBED, run(PROBED, SUCCEEDED, UNKNOWN, UNKNOWN).progress)

    lapsed = machine.settle(PROBED, asked.progress, Lapsed())

    assert machine.proceed(PROBED, lapsed.progress).calls[0].probe


def test_a_cancelled_order_is_undone_without_a_probe() -> None:
    on_its_way = machine.proceed(PROBED, run(PROBED, SUCCEEDED, UNKNOWN).progress).progress
    cancelled = machine.settle(PROBED, on_its_way, CancelRequested("client", "no")).progress

    move = machine.settle(PROBED, cancelled, Answered("second", UNKNOWN))

    assert machine.proceed(PROBED, move.progress).calls[0].direction is Direction.COMPENSATION


def test_a_trial_that_ends_unknown_spends_no_attempt_and_says_so() -> None:
    definition, progress = plain_saga(1, attempts_max=2), BEGINNING

    for _ in range(5):
        call = machine.proceed(definition, progress).calls[0]
        begun = machine.proceed(definition, progress).progress
        move = machine.settle(definition, begun, Answered(call.step, UNKNOWN, trial=True))
        progress = move.progress

    assert move.delay_s == 1.0
    assert (progress.of("step_1").attempts, progress.of("step_1").lapses, progress.of("step_1").doubtful) == (5, 5, True)
    assert [entry.reason for entry in move.entries] == [SPARED]


@pytest.mark.parametrize("outcome", [SUCCEEDED, REJECTED])
def test_a_trial_that_is_answered_is_a_call_like_any_other(outcome: Outcome) -> None:
    definition = plain_saga(2)
    begun = machine.proceed(definition, BEGINNING).progress

    assert machine.settle(definition, begun, Answered("step_1", outcome, trial=True)) == machine.settle(
        definition, begun, Answered("step_1", outcome)
    )


def test_a_trial_of_an_undo_spends_no_attempt() -> None:
    definition = plain_saga(2, attempts_max=1)
    progress = run(definition, SUCCEEDED, UNKNOWN).progress

    begun = machine.proceed(definition, progress).progress
    move = machine.settle(definition, begun, Answered("step_2", UNKNOWN, trial=True))

    assert move.delay_s == 1.0
    assert machine.proceed(definition, move.progress).calls[0].step == "step_2"


def test_an_order_that_is_given_up_is_undone_as_far_as_it_may_have_been_done() -> None:
    definition = plain_saga(3)

    before_any_call = machine.settle(definition, BEGINNING, GivenUp("it took too long"))
    later = machine.settle(definition, run(definition, SUCCEEDED, UNKNOWN).progress, GivenUp("it took too long"))

    assert machine.status_of(definition, before_any_call.progress) is Status.FAILED
    assert machine.proceed(definition, later.progress).calls[0].step == "step_2"
    assert [(entry.kind, entry.outcome, entry.reason) for entry in later.entries] == [
        (Kind.OPERATOR, "give-up", "it took too long"),
        (Kind.STATUS, "COMPENSATING", "it took too long"),
    ]


def test_an_undo_that_is_given_up_is_stuck_and_goes_on_when_an_operator_says_so() -> None:
    definition = plain_saga(2)
    undoing = run(definition, SUCCEEDED, REJECTED).progress

    stuck = machine.settle(definition, undoing, GivenUp("it took too long")).progress
    again = machine.settle(definition, stuck, Retried("ops", "it is back")).progress

    assert machine.status_of(definition, stuck) is Status.STUCK
    assert machine.proceed(definition, again).calls[0].step == "step_1"


def test_an_order_is_not_given_up_while_a_call_is_on_its_way() -> None:
    definition = plain_saga(1)

    with pytest.raises(ValueError, match="have not ended"):
        machine.settle(definition, machine.proceed(definition, BEGINNING).progress, GivenUp("it took too long"))
