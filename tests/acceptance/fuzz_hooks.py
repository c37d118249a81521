"""What schemathesis can't know of the API from its description.

Loaded by `schemathesis run` in its own process; see `test_fuzzing.py`.
"""

import itertools
import re
from typing import Any

import schemathesis
from schemathesis import Case, HookContext

KEY = "Idempotency-Key"
VALID_KEY = re.compile(r'[!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}"')

numbers = itertools.count()


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
