"""What schemathesis can't know of the API from its description.

Loaded by `schemathesis run` in its own process; see `test_fuzzing.py`.
"""

import itertools
import re
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext

from sql.reading import encode_cursor

KEY = "Idempotency-Key"
VALID_KEY = re.compile(r'[!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}"')
OF_AN_EMPTY_FEED = "A" * 64

numbers = itertools.count()
times = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))

# A cursor means nothing to anybody but the server.
schemathesis.openapi.format("event-cursor", st.just(OF_AN_EMPTY_FEED))
schemathesis.openapi.format("order-cursor", st.tuples(times, st.uuids()).map(encode_cursor))


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    key = case.headers.get(KEY) if case.headers else None
    if isinstance(key, str) and VALID_KEY.fullmatch(key):
        # Two different bodies under one key would rightly be refused.
        case.headers[KEY] = f"{key.strip(chr(34))[:200]}-{next(numbers)}"
    case.body = _spelled(case.body)
    to_deliver = case.path_parameters and case.path_parameters.get("saga") == "deliver_order"
    if to_deliver and isinstance(case.body, dict) and not case.body.get("shipping_address"):
        case.path_parameters["saga"] = "place_order"  # a body is that of any saga, a path names one
    if isinstance(case.query, dict) and re.fullmatch("[0-9]+([.][0-9]+)?", str(case.query.get("wait"))):
        case.query["wait"] = min(float(case.query["wait"]), 0.1) if float(case.query["wait"]) <= 30 else 31


def _spelled(value: Any) -> Any:
    """Spell integers as integers: JSON Schema takes 1.0 for one, and the API does not."""
    if isinstance(value, dict):
        return {name: _spelled(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_spelled(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
