"""What a saga's code says, apart from its settings: what a replica must have to go on with an order.

The digest changes with whatever changes a call or a decision: steps, endpoints, models, and the source of the functions. It
does not change with comments, layout, settings or releases of libraries, and what a step leaves at its default is not in it,
so that a definition keeps its fingerprint when this project learns something new.
"""

import ast
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import BaseModel

from orchestrator.step import AnyStep, Signal, Step, StepKind, Timer
from participants.contracts import Endpoint
from sql.models import Json


def code_of(name: str, version: int, input: type[BaseModel], steps: tuple[AnyStep[Any], ...]) -> Json:
    """Return what the code says of a saga, as JSON.

    Raises:
        OSError, TypeError: The source of one of its functions can't be read.
    """
    return {"name": name, "version": version, "input": _model(input), "steps": [_step(step) for step in steps]}


def _step(step: AnyStep[Any]) -> Json:
    said: Json = {"name": step.name}
    match step:
        case Step():
            said |= {
                "request": source_of(step.request),
                "action": _endpoint(step.action),
                "compensation": step.compensation and _endpoint(step.compensation),
                "undone_by": step.undone_by,
                "probe": step.probe and _endpoint(step.probe),
                "at_edge": step.at_edge,
                "declines": step.declines,
            }
            if step.kind is not StepKind.COMPENSATABLE:
                said["kind"] = step.kind.value
            if step.optional:
                said["optional"] = True
            if step.group is not None:
                said["group"] = step.group
        case Signal():
            said["signal"] = _model(step.payload)
        case Timer():
            said["timer"] = step.until and source_of(step.until)
    if step.when is not None:
        said["when"] = source_of(step.when)
    return said


def _endpoint(endpoint: Endpoint[Any, Any]) -> Json:
    said: Json = {
        "participant": endpoint.participant,
        "method": endpoint.method,
        "path": endpoint.path,
        "request": _model(endpoint.request),
        "response": _model(endpoint.response),
    }
    return said if endpoint.refusal is None else {**said, "refusal": source_of(endpoint.refusal)}


def _model(model: type[BaseModel]) -> dict[str, str]:
    # Names and types, not the JSON schema: that changes with releases of pydantic, and no order should notice one.
    return {name: str(info.annotation) for name, info in model.model_fields.items()}


def source_of(function: Callable[..., Any]) -> str:
    """Return the source of a function as its syntax tree says it."""
    code = getattr(function, "__code__", None)
    if code is None:
        raise TypeError(f"{function!r} is no function")
    # The first instructions of a function stand for no source; those that do lie between the ends of its body.
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    wanted = ast.Lambda if function.__name__ == "<lambda>" else ast.FunctionDef
    for node in _functions_of(code.co_filename, inspect.getmodule(function)):
        if not isinstance(node, wanted):
            continue
        if isinstance(node, ast.FunctionDef):
            if node.name == function.__name__ and code.co_firstlineno in (
                node.lineno,
                *(d.lineno for d in node.decorator_list),
            ):
                return ast.unparse(node)
        elif node.lineno == code.co_firstlineno and any(_lies_in(node.body, *place) for place in places):
            return ast.unparse(node)
    raise OSError(f"the source of {function.__qualname__} was not found")


def _lies_in(node: ast.expr, line: int, column: int) -> bool:
    return (node.lineno, node.col_offset) <= (line, column) < (node.end_lineno or line, node.end_col_offset or column + 1)


@cache
def _functions_of(file: str, module: Any) -> tuple[ast.Lambda | ast.FunctionDef, ...]:
    source = inspect.getsource(module) if module is not None else ""
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Lambda | ast.FunctionDef))
