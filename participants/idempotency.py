"""The fence: an action and its compensation are each done at most once, and an action never after its compensation.

One row per subject and direction, written in the transaction of the effect::

    action          take the action's fence ─ the effect ─ store the answer ─ COMMIT
    compensation    put a tombstone on the action's fence (waits for an action in flight)
                    ─ take the compensation's fence ─ reverse what stands ─ store the answer ─ COMMIT

The primary key of the fence orders the two: if the action is first, the compensation sees its effect; if the compensation is
first, the action finds the tombstone. A refusal takes the transaction back and leaves no trace, so it can be tried again.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import orjson
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from participants.contracts.operations import OperationRef
from participants.database import Connection
from participants.effects import Posting
from participants.problems import Problem
from sql.loader import Queries

_queries = Queries("fence")
_TAKE_ACTION_FENCE = _queries["take_action_fence"]
_PLACE_TOMBSTONES = _queries["place_tombstones"]
_TAKE_COMPENSATION_FENCE = _queries["take_compensation_fence"]
_READ_FENCE = _queries["read_fence"]
_FIND_OPERATION = _queries["find_operation"]
_STORE_ANSWER = _queries["store_answer"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One call, as the fence sees it.

    Args:
        subject: The thing it is about, such as `reservation/ORDER_ID`.
        direction: Whether it does or undoes.
        key: The caller's Idempotency-Key.
        request_hash: SHA-256 of what was asked, see `hash_request`.
    """

    subject: str
    direction: Literal["action", "compensation"]
    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it was given the first time.

    Args:
        status: HTTP status.
        body: JSON; the bytes that were sent.
    """

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Fence:
    reason: Literal["done", "undone"]
    idempotency_key: str
    request_hash: bytes | None
    status: int | None
    body: str | None

    def answer(self) -> StoredAnswer:
        if self.status is None or self.body is None:
            raise RuntimeError("a fence was committed without its answer")
        return StoredAnswer(self.status, self.body.encode())


def hash_request(method: str, path: str, request: BaseModel) -> bytes:
    """Return what tells one request from another: 32 bytes over method, path and the members that were set.

    Spacing and order of members do not matter, nor does a member that has its default, so that a request can be
    given a new member without making strangers of those it knew before.
    """
    members = orjson.dumps(request.model_dump(mode="json", exclude_defaults=True), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), members))).digest()


async def claim_action(connection: Connection, operation: Operation) -> StoredAnswer | None:
    """Take the fence of an action.

    Returns:
        None when the effect is now the caller's to make; the stored answer when it was made before.

    Raises:
        Problem: 409 `fenced` when the compensation came first; 422 `key-reused` when the key stands for another request;
            422 `subject-reused` when the subject was made by another request under another key.
    """
    fields = {"subject": operation.subject, "key": operation.key, "request_hash": operation.request_hash}
    cursor = await connection.execute(_TAKE_ACTION_FENCE, fields)
    if await cursor.fetchone() is not None:
        return None
    fence = await _read(connection, operation.subject, "action")
    if fence is None:
        raise _key_reused()  # the subject is free, so what stood in the way was the key of another action
    if fence.reason == "undone":
        raise Problem(409, "fenced", "This was undone before it was done.", f"{operation.subject} cannot be done any more.")
    if fence.request_hash == operation.request_hash:
        return fence.answer()
    if fence.idempotency_key == operation.key:
        raise _key_reused()
    raise Problem(
        422, "subject-reused", "This exists with another content.", f"{operation.subject} was made by another request."
    )


async def claim_compensation(connection: Connection, operation: Operation, undoes: tuple[str, ...]) -> StoredAnswer | None:
    """Put tombstones on actions, waiting for those in flight, then take the fence of their compensation.

    A compensation is known by what it undoes: under another key it is still the same one.

    Args:
        connection: A connection in the transaction of the effect.
        operation: The compensation.
        undoes: Subjects of the actions that must not happen any more, in the order in which they are locked.

    Returns:
        None when what stands is now the caller's to reverse; the stored answer when it was reversed before.

    Raises:
        Problem: 422 `key-reused` when the compensation was done under the same key with another body.
    """
    await connection.execute(_PLACE_TOMBSTONES, {"subjects": list(undoes), "key": operation.key})
    fields = {"subject": operation.subject, "key": operation.key, "request_hash": operation.request_hash}
    cursor = await connection.execute(_TAKE_COMPENSATION_FENCE, fields)
    if await cursor.fetchone() is not None:
        return None
    fence = await _read(connection, operation.subject, "compensation")
    if fence is None:
        raise RuntimeError("a fence was removed while it was taken")
    if fence.idempotency_key == operation.key and fence.request_hash != operation.request_hash:
        raise _key_reused()
    return fence.answer()


async def store_answer(connection: Connection, operation: Operation, answer: StoredAnswer, effect: Posting | None) -> None:
    """Keep the answer for repeats and log the effect; None when nothing was changed."""
    fields = {
        "subject": operation.subject,
        "operation": operation.direction,
        "key": operation.key,
        "status": answer.status,
        "body": answer.body.decode(),
        "order_id": effect and effect.order_id,
        "kind": effect and effect.kind,
        "amounts": effect and Jsonb(effect.amounts),
    }
    await connection.execute(_STORE_ANSWER, fields)


async def find_operation(connection: Connection, operation: OperationRef) -> StoredAnswer:
    """Tell whether the operation with a key was done, without doing anything.

    A tombstone bears the key of the compensation that left it; in keys of the form `ORDER:STEP:action` that is
    `ORDER:STEP:compensation`. Of an action whose key has another form it can only be told that it was not done.

    Returns:
        The answer that was given when it was done.

    Raises:
        Problem: 409 `fenced` when it was undone before it was done, and so never will be; 404 `operation-not-found` when it
            was not done by now, or when one key was used for several things and so names none.
    """
    key = operation.operation_key
    undo_key = f"{key.removesuffix(':action')}:compensation" if key.endswith(":action") else None
    cursor = await connection.execute(_FIND_OPERATION, {"key": key, "undo_key": undo_key})
    found = await cursor.fetchall()
    done = [body for reason, body in found if reason == "done"]
    if len(done) == 1:
        return StoredAnswer(200, done[0].encode())
    if found and not done:
        raise Problem(409, "fenced", "This was undone before it was done.", "It cannot be done any more.")
    raise Problem(404, "operation-not-found", "No operation with this key was done by now.")


async def _read(connection: Connection, subject: str, direction: str) -> _Fence | None:
    async with connection.cursor(row_factory=class_row(_Fence)) as cursor:
        await cursor.execute(_READ_FENCE, {"subject": subject, "operation": direction})
        return await cursor.fetchone()


def _key_reused() -> Problem:
    return Problem(422, "key-reused", "This Idempotency-Key stands for another request.")
