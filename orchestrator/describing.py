"""A definition as JSON, for people and programs that want to know what there is: `GET /sagas`, `saga definitions show`."""

from typing import Any

from orchestrator.saga import AnyStep, Retry, Saga, Signal, Step, Timer
from participants.contracts import Endpoint
from sql.models import Json


def describe(saga: Saga[Any]) -> Json:
    """Return what a saga is and does, as new orders run it."""
    return {
        "name": saga.name,
        "version": saga.version,
        "definition_id": str(saga.definition_id),
        "description": saga.says,
        "startable": saga.startable,
        "deadline_s": saga.deadline_s,
        "undo_failure": saga.undo_failure,
        "input": saga.input.model_json_schema(),
        "steps": [_step(saga, step) for step in saga.steps],
        "invariants": [{"query": invariant.query, "says": invariant.says} for invariant in saga.invariants],
    }


def _step(saga: Saga[Any], step: AnyStep[Any]) -> Json:
    described: Json = {
        "name": step.name,
        "type": type(step).__name__.lower(),
        "kind": None,
        "optional": False,
        "conditional": step.when is not None,
        "group": step.group,
        "action": None,
        "compensation": None,
        "undone_by": None,
        "probe": None,
        "retry": None,
        "timeout_s": None,
        "deadline_s": None,
        "wait_s": None,
        "payload": None,
    }
    match step:
        case Step():
            return described | {
                "type": "call",
                "kind": step.kind.value,
                "optional": step.optional,
                "action": _endpoint(step.action),
                "compensation": step.compensation and _endpoint(step.compensation),
                "undone_by": step.undone_by,
                "probe": step.probe and _endpoint(step.probe),
                "retry": _retry(saga.retry_of(step)),
                "timeout_s": saga.timeout_s_of(step),
                "deadline_s": step.deadline_s,
            }
        case Signal():
            return described | {"payload": step.payload.model_json_schema(), "timeout_s": step.timeout_s}
        case Timer():
            return described | {"wait_s": step.wait_s}


def _endpoint(endpoint: Endpoint[Any, Any]) -> Json:
    return {"participant": endpoint.participant, "method": endpoint.method, "path": endpoint.path}


def _retry(retry: Retry) -> Json:
    return {
        "first_s": retry.first_s,
        "factor": retry.factor,
        "attempts_max": retry.attempts_max,
        "wait_max_s": retry.wait_max_s,
    }
