"""Events as types: what consumers may rely on, and the catalogue that the document shows."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from orchestrator.events import CATALOGUE, OrderCompleted, OrderEvent, StepEvent, StockReserved, json_schema, read_event
from orchestrator.operations.catalogue import print_catalogue, section
from orchestrator.sagas import SHIPPED

DOCUMENT = Path(__file__).parents[3] / "docs" / "events.md"


def document(type: str, **data: Any) -> dict[str, Any]:
    order = str(uuid4())
    return {
        "id": str(uuid4()),
        "type": type,
        "order_ledger_id": order,
        "seq": 3,
        "occurred_at": "2026-07-01T12:00:00.000001Z",
        "correlation_id": "c",
        "data": {
            "version": 1,
            "order_ledger_id": order,
            "saga": "place_order",
            "status": "RUNNING",
            "customer_id": "17850",
            "currency": "GBP",
            "total_minor": 1530,
            **data,
        },
    }


def test_the_document_holds_the_catalogue_as_it_is() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert text.endswith(section()), "renew it: saga events catalogue --into docs/events.md"
    (shared,) = re.findall(r"^```json\n(.*?)^```", section(), re.DOTALL | re.MULTILINE)
    assert {"OrderEvent", "StepEvent", "OrderData", "StepData"} <= json.loads(shared)["$defs"].keys()


def test_the_catalogue_is_renewed_in_place(tmp_path: Path) -> None:
    page = tmp_path / "events.md"
    page.write_text("# Events\n\nProse.\n\n## Catalogue\n\nold\n", encoding="utf-8")

    print_catalogue(into=page, as_json=False)

    assert page.read_text(encoding="utf-8") == "# Events\n\nProse.\n\n" + section()


def test_the_schema_has_a_branch_for_every_type() -> None:
    schema = json_schema()

    branches = schema["discriminator"]["mapping"]
    assert branches.keys() == CATALOGUE.keys()
    for type, reference in branches.items():
        shape = schema["$defs"][reference.removeprefix("#/$defs/")]
        assert shape["properties"]["type"]["const"] == type
        assert shape["description"] in section().replace(" |", ".")
        # What is not known is ignored, so nothing may forbid it.
        assert "additionalProperties" not in shape


def test_every_type_that_a_step_of_ours_tells_is_in_the_catalogue() -> None:
    told = {
        type
        for saga in SHIPPED
        for step in saga.steps
        for type in (step.on_success, step.on_rejection, step.on_undo)
        if type is not None
    }

    assert told
    assert {type for type in told if not issubclass(CATALOGUE[type], StepEvent)} == set()


def test_an_event_is_read_as_its_type() -> None:
    event = read_event(document("StockReserved", step="reserve_inventory"))

    assert isinstance(event, StockReserved)
    assert (event.data.step, event.data.total_minor, event.seq) == ("reserve_inventory", 1530, 3)
    assert type(read_event(document("OrderCompleted"))) is OrderCompleted


def test_members_that_are_not_known_are_ignored() -> None:
    later = {**document("OrderCompleted", weight_g=300), "region": "eu"}

    assert isinstance(read_event(later), OrderCompleted)


def test_a_teams_own_type_is_read_for_what_it_carries() -> None:
    assert type(read_event(document("GiftWrapped", step="wrap"))) is StepEvent
    assert type(read_event(document("OrderPraised"))) is OrderEvent


@pytest.mark.parametrize("change", [{"version": 2}, {"status": "LOST"}, {"order_ledger_id": "one"}, {"total_minor": "much"}])
def test_what_is_of_another_version_or_none_at_all_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_event(document("OrderCompleted", **change))


def test_an_event_of_a_step_names_it() -> None:
    with pytest.raises(ValidationError):
        read_event(document("StockReserved"))
