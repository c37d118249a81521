"""What a model marks as personal is known however it is nested, kept out of what is kept, and found in what others write."""

import importlib
import pkgutil
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from edge_api.paying import PayRequest
from edge_api.schemas import PlaceOrderRequest
from orchestrator import sagas
from participants import contracts
from participants.contracts import PERSONAL, masked, personal_members, personal_of, without_personal
from participants.contracts.personal import MASK

TELLING = {"address", "shipping_address", "lines", "city", "postal_code", "payment_method", "email", "phone", "birthday"}
"""Names of members that say something of a person wherever they stand."""
LINES_OF_GOODS = {"StockLine", "OrderLine"}


class Note(BaseModel):
    text: Annotated[str, PERSONAL]
    author: "Note | None" = None


class Gift(BaseModel):
    sku: str
    plain: str = ""
    optional: Annotated[str, PERSONAL] | None = None
    notes: tuple[Note, ...] = ()
    by_day: dict[str, list[Note]] = {}
    names: list[Annotated[str, PERSONAL]] = []


def shipped_models() -> dict[str, type[BaseModel]]:
    """Return every model of the contracts, every input of a saga, and what clients send."""
    modules = [
        importlib.import_module(f"participants.contracts.{each.name}") for each in pkgutil.iter_modules(contracts.__path__)
    ]
    modules += [importlib.import_module(f"orchestrator.sagas.{each.name}") for each in pkgutil.iter_modules(sagas.__path__)]
    found = [value for module in modules for value in vars(module).values()]
    found += [PlaceOrderRequest, PayRequest]
    return {each.__name__: each for each in found if isinstance(each, type) and issubclass(each, BaseModel)}


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_what_tells_of_a_person_is_marked_wherever_it_enters(name: str) -> None:
    model = shipped_models()[name]
    telling = {
        member
        for member, field in model.model_fields.items()
        if member in TELLING and not any(goods in str(field.annotation) for goods in LINES_OF_GOODS)
    }
    if name in ("Customer", "PutCustomer", "Address"):
        telling.add("name")

    assert telling <= personal_members(model)


def test_a_member_is_personal_when_anything_inside_it_is() -> None:
    assert personal_members(Gift) == {"optional", "notes", "by_day", "names"}
    assert personal_members(Note) == {"text", "author"}  # a model inside itself is looked into once


def test_a_document_is_parted_into_what_is_kept_and_what_can_be_erased() -> None:
    document = Gift(sku="1", optional="Ann", notes=(Note(text="for Ann"),)).model_dump(mode="json")

    assert without_personal(Gift, document) == {"sku": "1", "plain": ""}
    assert personal_of(Gift, document) == {
        "optional": "Ann",
        "notes": [{"text": "for Ann", "author": None}],
        "by_day": {},
        "names": [],
    }
    assert without_personal(BaseModel, document) is document


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("no such customer: Ann Smith (ann smith)", f"no such customer: {MASK} ({MASK})"),
        ({"detail": "ANN SMITH of Elm Row 7"}, {"detail": f"{MASK} of {MASK}"}),
        ({"echo": {"deep": [["Elm Row 7"]]}}, {"echo": {"deep": [[MASK]]}}),
        ({"Ann Smith": 1}, {MASK: 1}),
        ({"shipping_address": {"city": "elsewhere"}}, {"shipping_address": MASK}),
        ({"phone": 5551234, "count": 555}, {"phone": MASK, "count": 555}),
        (
            {"country": "GB", "sku": "GB-1", "none": None, "yes": True},
            {"country": "GB", "sku": "GB-1", "none": None, "yes": True},
        ),
        (None, None),
    ],
)
def test_what_is_known_of_a_person_is_taken_out_of_what_others_write(written: Any, kept: Any) -> None:
    personal = {"shipping_address": {"name": " Ann Smith", "lines": ["Elm Row 7"], "country": "GB"}, "phone": 5551234}

    assert masked(written, personal) == kept
    assert masked(written, {}) is written
