"""The syntax of Idempotency-Key, what tells a repeat from a reuse, and NUL wherever it hides."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from edge_api.idempotency import fingerprint, key_of, nul_pointer
from edge_api.problems import Problem, ProblemType


def read(*values: str) -> str:
    headers = CIMultiDict([("Idempotency-Key", value) for value in values])
    return key_of(make_mocked_request("POST", "/orders", headers=headers))


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        ("  abc\t", "abc"),
        ("ABC", "ABC"),
        ("k" * 255, "k" * 255),
        (f'"{"k" * 255}"', "k" * 255),
        ("!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"),
        ("%00", "%00"),
    ],
)
def test_a_key_is_the_same_bare_and_quoted(value: str, key: str) -> None:
    assert read(value) == key


@pytest.mark.parametrize("values", [(), ("",), ("   ",)])
def test_a_missing_key_is_asked_for(values: tuple[str, ...]) -> None:
    with pytest.raises(Problem) as raised:
        read(*values)

    assert raised.value.type is ProblemType.KEY_MISSING
    assert "service-desc" in raised.value.headers["Link"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(("k" * 256,), id="256 characters"),
        pytest.param((f'"{"k" * 256}"',), id="256 characters in quotes"),
        pytest.param(('""',), id="empty string"),
        pytest.param(('"',), id="one quote"),
        pytest.param(('"abc',), id="open quote"),
        pytest.param(('abc"',), id="closing quote alone"),
        pytest.param(('"a"b"',), id="quote inside"),
        pytest.param(('"a\\"b"',), id="escaped quote"),
        pytest.param(("a\\b",), id="backslash"),
        pytest.param(('"abc"; a=1',), id="parameter"),
        pytest.param(("a b",), id="space"),
        pytest.param(("a\tb",), id="tab"),
        pytest.param(("caf\u00e9",), id="UTF-8"),
        pytest.param(("a\x7f",), id="delete"),
        pytest.param(("abc", "abc"), id="header twice"),
    ],
)
def test_a_malformed_key_is_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(Problem) as raised:
        read(*values)

    assert raised.value.type is ProblemType.KEY_INVALID


def test_the_fingerprint_covers_route_and_request() -> None:
    known = fingerprint("POST /orders", b"{}")

    assert known == fingerprint("POST /orders", b"{}")
    assert len(known) == 32
    assert known not in {
        fingerprint("POST /orders", b"{ }"),
        fingerprint("POST /sagas", b"{}"),
        fingerprint("POST /orders{", b"}"),
    }


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"a": [1, {"b": "x"}], "c": None}, None),
        ("\0", "#"),
        ({"customer_id": "a\0b"}, "#/customer_id"),
        ({"items": [{"sku": "a"}, {"sku": "\0"}]}, "#/items/1/sku"),
        ({"metadata": {"a/b~": "\0"}}, "#/metadata/a~1b~0"),
        ({"metadata": {"a\0b": 1}}, "#/metadata"),
    ],
)
def test_nul_is_pointed_at(document: Any, pointer: str | None) -> None:
    assert nul_pointer(document) == pointer
