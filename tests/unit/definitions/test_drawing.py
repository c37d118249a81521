"""The pictures of a definition say what it does, and the document of flows is made of them."""

import re
from typing import Any

import pytest

from orchestrator.drawing import graph, sequence, states
from orchestrator.operations import flows
from orchestrator.saga import Saga, Signal, StepKind, Timer
from orchestrator.sagas import SHIPPED
from sql.models import Status
from tests.unit.definitions.team import LEAVE, PAY, PIVOT, RoomRef, Trip, saga, step
from tests.unit.test_documents import ROOT

EVERYTHING = saga(
    PAY,
    step(name="try_one", group="try"),
    step(name="try_two", group="try"),
    step(name="extra", when=lambda ctx: ctx.input.nights > 3, optional=True),
    Signal("approval", payload=Trip, timeout_s=7200.0),
    Timer("pause", wait_s=90.0),
    PIVOT,
    step(name="tell", request=lambda ctx: RoomRef(room_id=""), action=LEAVE, compensation=None, kind=StepKind.RETRIABLE),
)
DRAWN: list[Saga[Any]] = [*SHIPPED, EVERYTHING]


def arrows(drawn: Saga[Any]) -> dict[tuple[str, str], str]:
    found = re.findall(r"^    (\S+) --> ([^\s:]+)(?:: (.+))?$", states(drawn), re.MULTILINE)
    return {(source, target): why for source, target, why in found}


@pytest.mark.parametrize("drawn", DRAWN, ids=lambda drawn: drawn.name)
def test_every_call_is_in_the_sequence_and_its_undo_comes_in_reverse(drawn: Saga[Any]) -> None:
    lines = [line.strip() for line in sequence(drawn).splitlines() if "->>" in line]

    forward = [line for line in lines if ": undo " not in line]
    assert [line.split(": ")[1].split()[0] for line in forward] == [each.name for each in drawn.calls]
    undone = [re.split(r": undo |: (?=[A-Z]+ /)", line)[1].split(", ")[-1] for line in lines if ": undo " in line]
    assert undone == [each.name for each in reversed(drawn.calls) if each.compensation is not None]


def test_groups_conditions_waits_and_pivots_show_in_the_sequence() -> None:
    drawn = sequence(EVERYTHING)

    assert re.search(
        r"par try, at once\n +saga->>hotel: try_one: POST /rooms\n +and\n +saga->>hotel: try_two: POST /rooms\n +end", drawn
    )
    assert re.search(r"opt where it applies\n +saga->>hotel: extra \(optional\): POST /rooms\n +end", drawn)
    assert "approval: waits for the signal, at most 2 h" in drawn
    assert "pause: waits 90 s" in drawn
    assert re.search(r"go \(pivot\): DELETE .*\n +Note over saga: from here on it only goes forward", drawn)


@pytest.mark.parametrize("drawn", DRAWN, ids=lambda drawn: drawn.name)
def test_every_state_is_reached_and_left(drawn: Saga[Any]) -> None:
    found = arrows(drawn)

    sources, targets = {source for source, _ in found}, {target for _, target in found}
    assert targets - sources == {"STUCK"}
    assert sources - targets == set()
    grouped = {each.name for each in drawn.steps if each.group is not None}
    assert {each.name for each in drawn.steps} - grouped <= sources
    assert {each.name for each in drawn.calls if each.compensation is not None} == {
        name.removeprefix("undo_") for name in sources if name.startswith("undo_")
    }


def test_what_follows_a_failure_is_what_the_kind_of_step_says() -> None:
    found = arrows(EVERYTHING)

    assert found["pay", "FAILED"] == "rejected or out of attempts"
    assert found["group_try", "undo_try_two"] == "rejected or out of attempts"
    assert found["extra", "approval"] == "done or it does not apply or it can't be done"
    assert found["approval", "undo_extra"] == "no answer came in time"
    assert found["pause", "go"] == "the time has come"
    assert (found["go", "undo_extra"], found["go", "STUCK"]) == ("rejected", "out of attempts")
    assert found["tell", "STUCK"] == "rejected or out of attempts"
    assert found["undo_try_one", "FAILED"] == "all is undone"


def test_a_refused_payment_ends_declined() -> None:
    assert arrows(SHIPPED[0])["authorize_payment", "DECLINED"] == "rejected"


def test_the_document_of_flows_is_drawn_from_the_definitions() -> None:
    text = (ROOT / "docs/flows.md").read_text(encoding="utf-8")

    assert text[text.index(flows.HEADING) :] == flows.section(), "run `saga definitions draw --into docs/flows.md`"


@pytest.mark.parametrize("drawn", DRAWN, ids=lambda drawn: drawn.name)
def test_boxes_and_arrows_say_what_the_diagram_says(drawn: Saga[Any]) -> None:
    drawing = graph(drawn)

    assert {(each["source"], each["target"]): each["why"] for each in drawing["arrows"]} == {
        ends: why for ends, why in arrows(drawn).items() if "[*]" not in ends and why
    }
    boxes = {unit["name"] for unit in drawing["units"]} | {f"undo_{name}" for name in drawing["undone"]} | set(Status)
    assert {end for each in drawing["arrows"] for end in (each["source"], each["target"])} <= boxes
    assert [name for unit in drawing["units"] for name in unit["steps"]] == [step.name for step in drawn.steps]
