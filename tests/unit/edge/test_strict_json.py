"""Two readers of one body never understand two things: what JSON libraries read differently is refused."""

import time
from typing import Any

import pytest

from participants.contracts.strict_json import DEPTH_MAX, NotJson, loads


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"a": [1, "x", null, true, -0, 1.5]}', {"a": [1, "x", None, True, 0, 1.5]}),
        (b' \t\r\n{"\\u0041": "\\u00e9\xc3\xa9"}\n', {"A": "\u00e9\u00e9"}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'{"a": {"b": 1}, "b": {"a": 1}}', {"a": {"b": 1}, "b": {"a": 1}}),
        (b'"[[[[{{{{ \\" [["', '[[[[{{{{ " [['),
        (b'["\\\\", ["\\\\\\"["]]', ["\\", ['\\"[']]),
        (b"9007199254740993", 9007199254740993),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
    ],
)
def test_strict_json_is_read(body: bytes, document: Any) -> None:
    assert loads(body) == document


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{} {}", id="two documents"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b"[1,]", id="comma at the end"),
        pytest.param(b"[01]", id="leading zero"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b'{"a": Infinity}', id="Infinity"),
        pytest.param(b"[-Infinity]", id="-Infinity"),
        pytest.param(b"1e400", id="infinite by size"),
        pytest.param(b"-1e400", id="infinite by size, negative"),
        pytest.param(b"1" * 5000, id="5,000 digits"),
        pytest.param(b"18446744073709551616", id="an integer beyond 64 bits"),
        pytest.param(b'{"a": [-9223372036854775809]}', id="an integer beyond 64 bits, negative"),
        pytest.param(b'{"a": 1, "a": 1}', id="member twice"),
        pytest.param(b'{"a": 1, "\\u0061": 2}', id="member twice in two spellings"),
        pytest.param(b'[{"x": {"b": 1, "b": 2}}]', id="member twice, deep inside"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param("{}".encode("utf-16"), id="UTF-16"),
        pytest.param("{}".encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(b'"\xff"', id="not UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', id="surrogate in UTF-8"),
        pytest.param(b'"\\ud800"', id="unpaired surrogate"),
        pytest.param(b'{"a": ["\\udc00"]}', id="unpaired low surrogate inside"),
        pytest.param(b'{"\\ud800": 1}', id="unpaired surrogate in a name"),
        pytest.param(b'"a\nb"', id="bare control character"),
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        loads(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_has_a_limit_below_any_recursion_limit(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"

    loads(opening * DEPTH_MAX + b"1" + closing * DEPTH_MAX)

    for depth in (DEPTH_MAX + 1, 1_000, 100_000):
        with pytest.raises(NotJson, match="nested"):
            loads(opening * depth + b"1" + closing * depth)


def test_a_doubled_member_among_very_many_is_found_in_linear_time() -> None:
    members = ",".join(f'"{number}":0' for number in range(90_000))
    body = f'{{{members},"89999":1}}'.encode()

    began_s = time.perf_counter()
    with pytest.raises(NotJson, match="89999"):
        loads(body)

    # Comparing each name with every other one would take minutes, during which the edge would answer nobody.
    assert time.perf_counter() - began_s < 5
