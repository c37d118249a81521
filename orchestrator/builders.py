"""What a step's functions read and call, as far as their source tells: for checks of a definition, before anything runs.

A builder is a lambda or a function of one context. What it reads of it stands there in plain sight (`ctx.input.NAME`,
`ctx.results["STEP"]`, `ctx.results[STEP.name]`, `ctx.id_of(STEP)`); what it does with it beyond that is not followed.
"""

import ast
import builtins
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final

from orchestrator.fingerprint import source_of
from orchestrator.step import Step, Wait

DEPTH_MAX: Final = 3
"""How far functions that a builder calls are followed."""

_IMPURE_MODULES: Final = frozenset(
    {"time", "random", "_random", "secrets", "os", "posix", "nt", "socket", "_socket", "subprocess", "threading", "asyncio"}
    | {"io", "_io", "pathlib", "urllib.request", "requests", "httpx", "aiohttp", "psycopg"}
)
_IMPURE_NAMES: Final = frozenset({"now", "utcnow", "today", "uuid1", "uuid4", "uuid6", "uuid7", "getnode", "input", "print"})
_IMPURE_OWNERS: Final = frozenset({"datetime", "uuid", "builtins"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a function reads and calls.

    Attributes:
        inputs: Members of the input.
        results: Names of steps whose answers it reads.
        guarded: Those of them that it asks for in a way that stands their absence.
        ids: What stands in `ctx.id_of(…)`, where that could be told.
        impure: Calls that give something else each time or touch the world, as they are written.
        made: The class that is called last, whose instance is the result; None where that can't be told.
        members: Names of the arguments which that is given; None where it is given others than by their names.
        opaque: Whether it does something with the context that is not followed, so that it may read more than is said here.
    """

    inputs: frozenset[str]
    results: frozenset[str]
    guarded: frozenset[str]
    ids: tuple[Any, ...]
    impure: tuple[str, ...]
    made: type[Any] | None
    members: frozenset[str] | None
    opaque: bool


def read(function: Callable[..., Any]) -> Reading:
    """Return what a function of a step reads and calls.

    Raises:
        OSError, TypeError, SyntaxError: Its source can't be read.
    """
    node, names = _parsed(function), _names_of(function)
    context = node.args.args[0].arg if node.args.args else ""
    found: dict[str, list[Any]] = {"inputs": [], "results": [], "guarded": [], "ids": [], "whole": []}
    followed: set[int] = set()
    for used, what, which in _uses(node, names):
        if used.id == context and which is not None:
            found[what].append(which)
            followed.add(id(used))
    made, members = _made(node, names, function)
    return Reading(
        inputs=frozenset(found["inputs"]),
        results=frozenset(found["results"] + found["guarded"]),
        guarded=frozenset(found["guarded"]),
        ids=tuple(found["ids"]),
        impure=tuple(dict.fromkeys(_impure(node, names, DEPTH_MAX))),
        made=made,
        members=members,
        opaque=any(isinstance(part, ast.Name) and part.id == context and id(part) not in followed for part in ast.walk(node)),
    )


def _uses(node: ast.AST, names: Mapping[str, Any]) -> Iterator[tuple[ast.Name, str, Any]]:
    """Give what is read of names as of a context: the name, what, and which of it; None where that can't be told."""
    for part in ast.walk(node):
        match part:
            case ast.Attribute(value=ast.Name() as used, attr="input" | "order_id" as which):
                yield used, "whole", which
            case ast.Attribute(value=ast.Attribute(value=ast.Name() as used, attr="input"), attr=member):
                yield used, "inputs", member
            case ast.Subscript(value=ast.Attribute(value=ast.Name() as used, attr="results"), slice=of):
                yield used, "results", _step_named(of, names)
            case (
                ast.Call(
                    func=ast.Attribute(value=ast.Attribute(value=ast.Name() as used, attr="results"), attr="get"),
                    args=[of, *_],
                )
                | ast.Compare(
                    left=of,
                    ops=[ast.In() | ast.NotIn()],
                    comparators=[ast.Attribute(value=ast.Name() as used, attr="results")],
                )
            ):
                yield used, "guarded", _step_named(of, names)
            case ast.Call(func=ast.Attribute(value=ast.Name() as used, attr="id_of"), args=[of]):
                yield used, "ids", _resolved(of, names)


def _parsed(function: Callable[..., Any]) -> ast.Lambda | ast.FunctionDef:
    (statement,) = ast.parse(source_of(function)).body
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Lambda):
        return statement.value
    if isinstance(statement, ast.FunctionDef):
        return statement
    raise TypeError(f"{function.__qualname__} is neither a lambda nor a function")


def _names_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    seen = inspect.getclosurevars(function)
    return {**vars(builtins), **getattr(function, "__globals__", {}), **seen.nonlocals}


def _made(
    node: ast.Lambda | ast.FunctionDef, names: Mapping[str, Any], function: Callable[..., Any]
) -> tuple[type[Any] | None, frozenset[str] | None]:
    body: ast.AST | None = node.body if isinstance(node, ast.Lambda) else _only_return(node)
    if isinstance(body, ast.Call) and isinstance(made := _resolved(body.func, names), type):
        by_name = not body.args and all(word.arg for word in body.keywords)
        return made, frozenset(word.arg for word in body.keywords if word.arg) if by_name else None
    told = inspect.get_annotations(function).get("return")
    return (told if isinstance(told, type) else None), None


def _only_return(node: ast.FunctionDef) -> ast.AST | None:
    returns = [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]
    return returns[0] if len(returns) == 1 else None


def _impure(node: ast.AST, names: Mapping[str, Any], depth: int) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Global | ast.Nonlocal):
            yield ast.unparse(part)
        if not isinstance(part, ast.Call) or (called := _resolved(part.func, names)) is None:
            continue
        if _is_impure(called):
            yield f"{ast.unparse(part.func)}()"
        elif isinstance(called, FunctionType) and depth:
            try:
                yield from _impure(_parsed(called), _names_of(called), depth - 1)
            except (OSError, TypeError, SyntaxError):
                continue  # no source, or none of its own: nothing can be told


def _is_impure(called: Any) -> bool:
    owner = getattr(called, "__self__", None)
    module = getattr(called, "__module__", None) or getattr(owner, "__module__", None) or type(owner).__module__
    name = getattr(called, "__name__", "")
    return module in _IMPURE_MODULES or (module in _IMPURE_OWNERS and name in _IMPURE_NAMES)


def _step_named(node: ast.AST, names: Mapping[str, Any]) -> str | None:
    """Return the step that an index of the results stands for: its name, or `STEP.name`; None where that can't be told."""
    match node:
        case ast.Constant(value=str(name)):
            return name
        case ast.Attribute(value=of, attr="name") if isinstance(step := _resolved(of, names), Step | Wait):
            return step.name
    return None


def _resolved(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """Return what a name, or a name after dots, stands for; None where that can't be told."""
    match node:
        case ast.Name(id=name):
            return names.get(name)
        case ast.Attribute(value=value, attr=attribute):
            owner = _resolved(value, names)
            # Of anything but modules and classes an attribute may be code that runs.
            return getattr(owner, attribute, None) if inspect.ismodule(owner) or isinstance(owner, type) else None
    return None
