"""What `POST /orders` takes: limits, strict types, and an error that points at the member that is wrong."""

import json
from typing import Any

import pytest

from edge_api.problems import Problem, ProblemType
from edge_api.schemas import ERRORS_SHOWN_MAX, PlaceOrderRequest, validated

LINE = {"sku": "85123A", "quantity": 6, "unit_price_minor": 255}
ORDER: dict[str, Any] = {"customer_id": "17850", "currency": "GBP", "items": [LINE]}
ADDRESS = {"name": "Ann", "lines": ["Elm Row 7"], "city": "Leeds", "country": "GB"}


def read(**changes: Any) -> PlaceOrderRequest:
    return validated(json.dumps({**ORDER, **changes}).encode(), PlaceOrderRequest)


def pointers(**changes: Any) -> list[str]:
    with pytest.raises(Problem) as raised:
        read(**changes)
    assert raised.value.type is ProblemType.INVALID
    return [pointer for pointer, _ in raised.value.errors]


def test_what_is_left_out_has_a_default() -> None:
    request = read()

    assert (request.saga, request.payment_method, request.shipping_address, request.metadata) == (
        "place_order",
        "pm_card",
        None,
        {},
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"items": [{**LINE, "quantity": 1_000_000, "unit_price_minor": 10**9}]},
        {"items": [LINE] * 2_000},
        {"items": [LINE, {**LINE, "unit_price_minor": 0}]},
        {"metadata": {"a" * 64: "x" * 256, "b": True, "c": -(2**63), "d": 2**63 - 1, "e": None}},
        {"metadata": {str(number): number for number in range(32)}},
    ],
)
def test_an_order_at_the_limits_is_taken(changes: dict[str, Any]) -> None:
    read(**changes)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"customer_id": ""}, ["#/customer_id"]),
        ({"customer_id": 17850}, ["#/customer_id"]),
        ({"currency": "gbp"}, ["#/currency"]),
        ({"currency": "ABC"}, ["#/currency"]),
        ({"currency": "GB\u0420"}, ["#/currency"]),
        ({"items": []}, ["#/items"]),
        ({"items": [LINE] * 2_001}, ["#/items"]),
        ({"items": [{**LINE, "quantity": 0}]}, ["#/items/0/quantity"]),
        ({"items": [LINE, {**LINE, "quantity": -1}]}, ["#/items/1/quantity"]),
        ({"items": [{**LINE, "quantity": 1_000_001}]}, ["#/items/0/quantity"]),
        ({"items": [{**LINE, "quantity": 2**31}]}, ["#/items/0/quantity"]),
        ({"items": [{**LINE, "quantity": 2**63}]}, ["#/items/0/quantity"]),
        ({"items": [{**LINE, "quantity": 10**400}]}, ["#/items/0/quantity"]),
        ({"items": [{**LINE, "quantity": True}]}, ["#/items/0/quantity"]),
        ({"items": [{**LINE, "quantity": 1.0}]}, ["#/items/0/quantity"]),
        ({"items": [{**LINE, "quantity": "1"}]}, ["#/items/0/quantity"]),
        ({"items": [{**LINE, "unit_price_minor": -1}]}, ["#/items/0/unit_price_minor"]),
        ({"items": [{**LINE, "unit_price_minor": 10**9 + 1}]}, ["#/items/0/unit_price_minor"]),
        ({"items": [{**LINE, "unit_price_minor": 0}]}, ["#/items"]),
        ({"items": [{**LINE, "size": 1}]}, ["#/items/0/size"]),
        ({"items": {"0": LINE}}, ["#/items"]),
        ({"payment_method": None}, ["#/payment_method"]),
        ({"shipping_address": {"name": "A", "lines": [], "city": "B", "country": "GB"}}, ["#/shipping_address/lines"]),
        ({"metadata": {"k": 1.5}}, ["#/metadata/k"]),
        ({"metadata": {"k": ["x"]}}, ["#/metadata/k"]),
        ({"metadata": {"k": 2**63}}, ["#/metadata/k"]),
        ({"metadata": {"k": "x" * 257}}, ["#/metadata/k"]),
        ({"metadata": {"a/b~c": {}}}, ["#/metadata/a~1b~0c"]),
        ({"metadata": {"a" * 65: 1}}, ["#/metadata/" + "a" * 65]),
        ({"metadata": {str(number): number for number in range(33)}}, ["#/metadata"]),
        ({"coupon": 1}, ["#/coupon"]),
        ({"customer_id": 1, "currency": 1}, ["#/customer_id", "#/currency"]),
    ],
)
def test_what_is_wrong_is_pointed_at_once(changes: dict[str, Any], wrong: list[str]) -> None:
    assert pointers(**changes) == wrong


def test_errors_are_told_up_to_a_limit() -> None:
    assert len(pointers(items=[{**LINE, "quantity": 0}] * 100)) == ERRORS_SHOWN_MAX


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"x"'])
def test_a_body_that_is_no_object_is_pointed_at_as_a_whole(body: bytes) -> None:
    with pytest.raises(Problem) as raised:
        validated(body, PlaceOrderRequest)

    assert [pointer for pointer, _ in raised.value.errors] == ["#"]


def test_every_spelling_of_a_request_is_canonically_the_same() -> None:
    spelled = (
        b' { "items":[{"unit_price_minor":255,"quantity":6,"sku":"8512\\u0033A","description":null}],'
        b'"saga":"place_order", "currency":"G\\u0042P","customer_id":"17850"}\n'
    )

    assert validated(spelled, PlaceOrderRequest).canonical() == read().canonical()


@pytest.mark.parametrize(
    "changes",
    [
        {"items": [{**LINE, "quantity": 7}]},
        {"items": [LINE, LINE]},
        {"shipping_address": ADDRESS},
        {"metadata": {"k": "1"}},
        {"customer_id": "e\u0301"},
    ],
)
def test_another_request_is_canonically_another(changes: dict[str, Any]) -> None:
    others = {read().canonical(), read(metadata={"k": 1}).canonical(), read(customer_id="\u00e9").canonical()}

    assert read(**changes).canonical() not in others


def test_the_canonical_form_says_nothing_of_a_person() -> None:
    moved = {**ADDRESS, "name": "Bob", "lines": ["Oak Row 8"]}

    assert read(shipping_address=ADDRESS).canonical() == read(shipping_address=moved, payment_method="pm_other").canonical()
    assert b"Elm Row" not in read(shipping_address=ADDRESS).canonical()
