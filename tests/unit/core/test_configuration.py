"""What may be changed of a saga at run time, and what is refused with its reason."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from pydantic import AwareDatetime

from orchestrator.configuration import Configuration, Unsafe, configured, differences
from orchestrator.definitions import Definitions, in_share
from orchestrator.dependencies import dependencies_of
from orchestrator.saga import DefinitionError, Saga, Signal, Step, StepKind, Timer
from orchestrator.sagas import SHIPPED
from orchestrator.sagas.deliver_order import DELIVER_ORDER
from orchestrator.sagas.place_order import PLACE_ORDER
from orchestrator.settings import Settings
from participants.contracts import Answer, Endpoint, Wire
from tests.unit.core.sagas import Ask, Done, Nothing, endpoint, saga, step

SETTINGS = Settings()


class Reserved(Answer):
    """An answer that says until when it holds."""

    expires_at: AwareDatetime


class AskFor(Wire):
    """A request that names something."""

    id: str


def endpoint_for(name: str) -> Endpoint[AskFor, Done]:
    return Endpoint("shop", "POST", f"/{name}", AskFor, Done)


one = step("one")
two: Step[Nothing, Ask] = Step("two", lambda ctx: Ask(), endpoint("two"), endpoint("undo-two"))
reads_one: Step[Nothing, AskFor] = Step(
    "reads_one", lambda ctx: AskFor(id=ctx.results["one"]["id"]), endpoint_for("reads"), endpoint_for("undo-reads")
)
reads_one_by_name: Step[Nothing, AskFor] = Step(
    "by_name", lambda ctx: AskFor(id=ctx.results[one.name]["id"]), endpoint_for("by-name"), endpoint_for("undo-by-name")
)
reads_one_if_there: Step[Nothing, AskFor] = Step(
    "if_there",
    lambda ctx: AskFor(id=ctx.results["one"]["id"] if "one" in ctx.results else str(ctx.results.get(one.name))),
    endpoint_for("if-there"),
    endpoint_for("undo-if-there"),
)
names_one: Step[Nothing, AskFor] = Step(
    "names_one", lambda ctx: AskFor(id=ctx.id_of(one)), endpoint_for("names"), endpoint_for("undo-names")
)
looks: Step[Nothing, Ask] = Step("looks", lambda ctx: Ask(), endpoint("looks"), kind=StepKind.READ_ONLY)
tells = step("tells", compensation=None, optional=True)
pivot = step("pivot", compensation=None, kind=StepKind.PIVOT)
last = step("last", compensation=None, kind=StepKind.RETRIABLE)
word: Signal[Nothing] = Signal("word", payload=Nothing, timeout_s=60.0)
pause: Timer[Nothing] = Timer("pause", wait_s=10.0)


def _whole(ctx: Any) -> Ask:
    return _ask(ctx)


def _ask(ctx: Any) -> Ask:
    return Ask()


opaque: Step[Nothing, Ask] = Step("opaque", _whole, endpoint("opaque"), endpoint("undo-opaque"))


def on(definition: Saga[Any], settings: Settings = SETTINGS, **said: Any) -> Saga[Any]:
    """Configure a saga as a process of these settings would."""
    return Definitions([definition], settings).fit(definition.name, Configuration.read("test", said), 7)


def refused(definition: Saga[Any], settings: Settings = SETTINGS, **said: Any) -> str:
    with pytest.raises(Unsafe) as error:
        on(definition, settings, **said)
    return "; ".join(error.value.reasons)


def names(definition: Saga[Any]) -> list[str]:
    return [each.name for each in definition.steps]


def test_steps_that_do_not_need_each_other_change_places() -> None:
    assert names(on(saga(one, two), order=["two", "one"])) == ["two", "one"]


def test_the_snapshot_carries_everything_that_is_configured() -> None:
    code = Definitions([saga(one, two, tells)], SETTINGS).code("test")
    changed = configured(
        code,
        Configuration.read(
            "test",
            {
                "order": ["two", "one", "tells"],
                "off": ["tells"],
                "deadline_s": 3600,
                "timeout_s": 3,
                "retry": {"attempts_max": 4},
                "steps": {"two": {"timeout_s": 2, "deadline_s": 50, "when_open": "fail", "retry": {"first_s": 0.5}}},
            },
        ),
        7,
        SETTINGS,
    )

    again = code.on_snapshot(changed.snapshot)

    assert again.snapshot == changed.snapshot
    assert again.definition_id == changed.definition_id != code.definition_id
    assert again.fingerprint == code.fingerprint
    assert again.config == 7
    assert names(again) == ["two", "one"]
    first, second = again.calls
    assert (first.timeout_s, first.deadline_s, first.when_open) == (2, 50, "fail")
    assert (again.retry_of(first).first_s, again.retry_of(first).attempts_max) == (0.5, 4)
    assert (second.timeout_s, again.retry_of(second).attempts_max, again.deadline_s) == (3, 4, 3600)


def test_what_is_not_said_is_as_code_and_settings_have_it() -> None:
    settings = Settings(retry_attempts=3, step_timeout_s=2.0, deadline_s=900.0)
    plain = Definitions([saga(one, two)], settings).code("test")

    changed = on(saga(one, two), settings, steps={"one": {"timeout_s": 1}})

    assert [each["key"] for each in differences(plain, changed)] == ["steps.one.timeout_s"]


def test_of_a_step_that_is_off_only_the_order_tells() -> None:
    plain = on(saga(one, tells))

    assert differences(plain, on(saga(one, tells), off=["tells"])) == [
        {"key": "order", "before": ["one", "tells"], "after": ["one"]}
    ]


@pytest.mark.parametrize("later", [reads_one, reads_one_by_name, reads_one_if_there, names_one])
def test_a_step_stays_behind_the_one_whose_answer_or_id_it_uses(later: Step[Any, Any]) -> None:
    wrong = refused(saga(one, two, later), order=[later.name, "one", "two"])

    assert wrong == f"step {later.name} can't come before one, which it uses"
    assert names(on(saga(one, two, later), order=["one", later.name, "two"])) == ["one", later.name, "two"]


def test_a_step_that_stands_the_absence_of_an_answer_lets_its_step_be_off() -> None:
    first = Step[Nothing, Ask]("one", lambda ctx: Ask(), endpoint("one"), kind=StepKind.READ_ONLY)
    asks = replace(reads_one, request=lambda ctx: AskFor(id=str(ctx.results.get("one"))))

    assert names(on(saga(first, asks), off=["one"])) == ["reads_one"]


def test_a_step_stays_behind_those_that_its_definition_names() -> None:
    late = replace(two, name="late", after=("one", "looks"))

    wrong = refused(saga(one, looks, late), order=["looks", "late", "one"])
    assert "step late can't come before one, after which its definition says that it comes" in wrong
    assert names(on(saga(one, looks, late), order=["looks", "one", "late"], off=["looks"])) == ["one", "late"]
    with pytest.raises(DefinitionError, match="step late of saga test comes after one, looks, which does not stand before it"):
        saga(late, one, looks)


def test_no_goods_are_sent_for_before_the_money_was_taken() -> None:
    order = [step.name for step in DELIVER_ORDER.steps if step.name != "schedule_shipping"]

    assert "step schedule_shipping can't come before capture_payment" in refused(
        DELIVER_ORDER, order=[*order[:2], "schedule_shipping", *order[2:]]
    )


def test_a_builder_that_passes_its_context_on_may_read_whatever_stands_before_it() -> None:
    assert dependencies_of(saga(one, two, opaque)).uses["opaque"] == {"one", "two"}
    assert "which it uses" in refused(saga(one, opaque), order=["opaque", "one"])


def test_a_step_stays_behind_the_one_that_undoes_it() -> None:
    assert "step two can't come before one" in refused(saga(one, step("two", undone_by="one")), order=["two", "one"])


@pytest.mark.parametrize("later", [pivot, tells, word, pause])
def test_what_cannot_be_undone_and_waits_are_not_moved_forward(later: Any) -> None:
    assert f"step {later.name} can't come before one" in refused(saga(one, later), order=[later.name, "one"])


def test_nothing_is_moved_before_a_wait() -> None:
    assert "step one can't come before word" in refused(saga(word, one), order=["one", "word"])


def test_what_could_be_undone_is_not_moved_behind_a_pivot() -> None:
    assert "step pivot can't come before two" in refused(saga(one, two, pivot, last), order=["one", "pivot", "two", "last"])


def test_the_edge_keeps_the_first_step() -> None:
    wrong = refused(saga(step("one", at_edge=True), two), order=["two", "one"])

    assert "step one of saga test is not the first, so not for the edge" in wrong


def test_a_group_stays_together() -> None:
    parts = (step("a", group="g"), step("b", group="g"), two)

    assert "stands apart from its group g" in refused(saga(*parts), order=["a", "two", "b"])


def test_optional_and_read_only_steps_can_be_off() -> None:
    assert names(on(saga(one, looks, tells), off=["looks", "tells"])) == ["one"]
    assert names(on(saga(one, pause), off=["pause"])) == ["one"]


def test_a_step_that_the_order_needs_to_be_whole_cannot_be_off() -> None:
    assert "step one can't be off: it is neither optional nor read-only" in refused(saga(one, two), off=["one"])
    assert "step word can't be off: it waits for somebody's word" in refused(saga(one, word), off=["word"])


def test_a_step_that_another_uses_cannot_be_off() -> None:
    first = Step[Nothing, Ask]("one", lambda ctx: Ask(), endpoint("one"), kind=StepKind.READ_ONLY)

    assert refused(saga(first, reads_one), off=["one"]) == "step one can't be off: reads_one needs it"


def test_a_step_can_be_off_together_with_the_one_that_uses_it() -> None:
    first = Step[Nothing, Ask]("one", lambda ctx: Ask(), endpoint("one"), kind=StepKind.READ_ONLY)
    told = Step[Nothing, AskFor](
        "told", lambda ctx: AskFor(id=ctx.results["one"]["id"]), endpoint_for("told"), kind=StepKind.READ_ONLY
    )

    assert names(on(saga(first, told, two), off=["one", "told"])) == ["two"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"off": ["three"]}, "there is no step three in version 1"),
        ({"steps": {"three": {}}}, "there is no step three in version 1"),
        ({"order": ["one", "three", "two"]}, "there is no step three in version 1"),
        ({"order": ["one"]}, "order must name every step once"),
        ({"order": ["one", "two", "one"]}, "order must name every step once"),
        ({"version": 2}, "there is no version 2 of it here, only 1"),
        ({"steps": {"one": {"wait_s": 3}}}, "wait_s can't be said of step one"),
        ({"retry": {"attempts_max": 0}}, "retry.attempts_max: input should be greater than or equal to 1"),
        ({"timeout_s": 0}, "timeout_s: input should be greater than 0"),
        ({"steps": {"one": {"timeout_s": -1}}}, "steps.one.timeout_s: input should be greater than 0"),
        ({"retry": {"first_s": float("inf")}}, "retry.first_s: "),
        ({"colour": "red"}, "colour: extra inputs are not permitted"),
        ({"timeout_s": "5"}, "timeout_s: input should be a valid number"),
        ({"participants": {}}, "is said to `saga participants`"),
        ({"timeout_s": 25}, "a call of step one may take 25 s, which must be less than 19.5 s"),
        ({"steps": {"two": {"timeout_s": 25}}}, "a call of step two may take 25 s"),
        ({"deadline_s": 6}, "the attempts of step one may take 11 s, more than the deadline of 6 s"),
        ({"steps": {"one": {"deadline_s": 1}}}, "the deadline of step one, 1 s, is less than one call may take"),
    ],
)
def test_what_can_not_be_is_refused_with_the_reason(said: dict[str, Any], why: str) -> None:
    assert why in refused(saga(one, two), **said)


def test_every_reason_is_told_at_once() -> None:
    wrong = refused(saga(one, two, reads_one), order=["two", "reads_one", "one"], off=["two"], timeout_s=25)

    assert "reads_one can't come before one" in wrong
    assert "two can't be off" in wrong
    assert "may take 25 s" in wrong


def test_attempts_that_outlast_what_a_try_reserves_are_refused() -> None:
    tries = Endpoint("shop", "POST", "/try", Ask, Reserved)
    reserve: Step[Nothing, Ask] = Step("reserve", lambda ctx: Ask(), tries, endpoint("cancel"))
    confirm: Step[Nothing, AskFor] = Step(
        "confirm", lambda ctx: AskFor(id=ctx.id_of(reserve)), endpoint_for("confirm"), undone_by="reserve"
    )

    assert on(saga(reserve, confirm), retry={"attempts_max": 5})
    wrong = refused(saga(reserve, confirm), retry={"attempts_max": 6}, deadline_s=1_000_000)
    assert "its attempts from reserve to the first of confirm may take" in wrong
    assert "expires after 900 s" in wrong


def test_attempts_of_a_pivot_may_outlast_what_it_keeps_since_one_that_comes_too_late_is_refused() -> None:
    (code,) = (saga for saga in SHIPPED if saga.name == "checkout_tcc")

    assert on(code, timeout_s=4).config == 7
    assert "its attempts from try_stock to the first of confirm_payment" in refused(code, retry={"attempts_max": 7})


def test_place_order_says_what_needs_what() -> None:
    needs = dependencies_of(PLACE_ORDER).needs

    assert needs == {
        "authorize_payment": frozenset(),
        "create_order": frozenset(),
        "reserve_inventory": frozenset(),
        "capture_payment": {"authorize_payment"},
        "confirm_order": {"create_order"},
    }


def test_stock_may_be_reserved_before_the_order_is_created_but_the_money_not_taken_first() -> None:
    order = ["authorize_payment", "reserve_inventory", "create_order", "capture_payment", "confirm_order"]

    assert names(on(PLACE_ORDER, order=order)) == order
    assert "authorize_payment" in refused(PLACE_ORDER, order=["capture_payment", *order[:3], "confirm_order"])


def test_the_same_order_is_always_of_the_same_share() -> None:
    ids = [uuid4() for _ in range(4000)]

    share = [each for each in ids if in_share(each, 3, 25.0)]

    assert share == [each for each in ids if in_share(each, 3, 25.0)]
    assert 800 < len(share) < 1200
    assert share != [each for each in ids if in_share(each, 4, 25.0)]
    assert set(share) < {each for each in ids if in_share(each, 3, 50.0)}


def test_two_versions_of_a_saga_stand_side_by_side_and_the_newest_is_started() -> None:
    old, new = saga(one), replace(saga(one, two), version=2)
    definitions = Definitions([new, old], SETTINGS)

    assert definitions.named("test").version == 2
    assert definitions.fit("test", Configuration(version=1), 1).version == 1
    assert len(definitions.fingerprints) == 2
    assert definitions.versions("test") == [1, 2]
