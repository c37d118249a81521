"""A definition that could not be run, or not be undone, is refused where it is written."""

from dataclasses import replace

import pytest

from orchestrator.definitions import Definitions
from orchestrator.saga import DefinitionError, StepKind
from orchestrator.settings import Settings
from tests.unit.core.sagas import endpoint, plain_saga, saga, step


def test_a_saga_without_steps_is_refused() -> None:
    with pytest.raises(DefinitionError, match="has no steps"):
        saga()


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match="names a step twice"):
        saga(step("one"), step("one"))


def test_only_the_first_step_is_for_the_edge() -> None:
    with pytest.raises(DefinitionError, match="two of saga test is not the first"):
        saga(step("one"), step("two", at_edge=True))


def test_a_step_is_undone_by_itself_or_by_another() -> None:
    with pytest.raises(DefinitionError, match="two of saga test is undone twice"):
        saga(step("one"), step("two", undone_by="one", compensation=endpoint("undo-two")))


@pytest.mark.parametrize("other", ["two", "three", "nobody", "bare"])
def test_what_undoes_a_step_stands_before_it_and_undoes(other: str) -> None:
    with pytest.raises(DefinitionError, match="two of saga test is undone by no earlier step"):
        saga(step("bare", compensation=None, kind=StepKind.READ_ONLY), step("one"), step("two", undone_by=other), step("three"))


def test_two_sagas_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match="two sagas are named test"):
        Definitions([plain_saga(1), plain_saga(2)], Settings())


def test_a_snapshot_of_other_code_is_refused() -> None:
    with pytest.raises(DefinitionError, match="is of other code"):
        plain_saga(2).on_snapshot(plain_saga(3).snapshot)


def test_a_snapshot_keeps_the_settings_that_it_was_made_with() -> None:
    old, new = plain_saga(2, attempts_max=7), plain_saga(2, attempts_max=3)

    kept = new.on_snapshot(old.snapshot)

    assert [kept.retry_of(each).attempts_max for each in kept.steps] == [7, 7]


def test_what_a_definition_states_itself_stands_before_the_settings() -> None:
    stated = Definitions([saga(step("one"), attempts_max=7)], Settings()).named("test")
    silent = Definitions([replace(saga(step("one")), retry=None)], Settings(retry_attempts=3, step_timeout_s=1.5)).named("test")

    assert stated.retry_of(stated.steps[0]).attempts_max == 7
    assert (silent.retry_of(silent.steps[0]).attempts_max, silent.timeout_s_of(silent.steps[0])) == (3, 1.5)
