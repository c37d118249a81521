"""Ids are derived: the same for the same request, different for every other."""

from uuid import UUID

import pytest

from orchestrator.identity import derived_id, operation_key, order_id, resource_id
from sql.models import Direction


def test_an_order_id_is_the_same_for_every_repeat_and_a_uuid_of_version_8() -> None:
    first = order_id("shop", "key")

    assert first == order_id("shop", "key")
    assert first == UUID(str(first))
    assert first.version == 8
    assert first.variant == "specified in RFC 4122"


def test_the_same_key_of_another_client_is_another_order() -> None:
    assert order_id("shop", "key") != order_id("other", "key")


@pytest.mark.parametrize(("one", "other"), [(("ab", "c"), ("a", "bc")), (("a",), ("a", "")), (("",), ())])
def test_parts_are_not_run_together(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert derived_id(*one) != derived_id(*other)


def test_an_operation_key_names_order_step_and_direction_and_nothing_else() -> None:
    order = order_id("shop", "key")

    assert operation_key(order, "capture", Direction.ACTION) == f"{order}:capture:action"
    assert operation_key(order, "capture", Direction.COMPENSATION) == f"{order}:capture:compensation"


def test_two_steps_make_two_things() -> None:
    order = order_id("shop", "key")

    assert resource_id(order, "authorize") != resource_id(order, "ship")
