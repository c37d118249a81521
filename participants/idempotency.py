"""The fence: an action and its compensation are each done at most once, and an action never after its compensation.

One row per subject and direction, written in the transaction of the effect::

    action          take the action's fence ─ the effect ─ store the answer ─ COMMIT
    compensation    put a tombstone on the action's fence (waits for an action in flight)
                    ─ take the compensation's fence ─ reverse what stands ─ store the answer ─ COMMIT

The primary key of the fence orders the two: if the action is first, the compensation sees its effect; if the compensation is
first, the action finds the tombstone. A refusal takes the transaction back and leaves no trace, so it can be tried again.

For a participant of your own take along this file and `idempotency.sql`, which makes its tables. It needs psycopg 3 and
READ COMMITTED, and nothing else of this project: that is why its statements stand here and not in `sql/queries/`.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

PROBLEMS: Final = "https://sagaledger.example/problems/"
PAGE_MAX: Final = 1000
SETTLE_TIMEOUT_S: Final = 2.0  # a writer's transaction takes milliseconds
SETTLE_POLL_S: Final = 0.005

Connection = AsyncConnection[Any]


class Refused(Exception):
    """What the fence answers instead of letting something be done; raised in a transaction, it must take that back.

    Args:
        status: HTTP status.
        kind: Last part of the problem's `type`; callers act on it.
        title: What the kind means, in a sentence that does not change.
        detail: What happened this time.
    """

    def __init__(self, status: int, kind: str, title: str, detail: str | None = None) -> None:
        super().__init__(title)
        self.status, self.kind, self.title, self.detail = status, kind, title, detail

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body, of the type `application/problem+json`."""
        body = {"type": PROBLEMS + self.kind, "title": self.title, "status": self.status}
        return body if self.detail is None else {**body, "detail": self.detail}


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
    """An answer as it is given the first time, and at every repeat.

    Args:
        status: HTTP status.
        body: JSON; the bytes that are sent.
        replayed: Whether it was given before.
    """

    status: int
    body: bytes
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Posting:
    """An effect before it has a place in the log.

    Args:
        order_id: The order it was done for.
        kind: What was done.
        amounts: Change of each account, never zero.
    """

    order_id: str
    kind: str
    amounts: Mapping[str, int]


Work = Callable[[], Awaitable[tuple[StoredAnswer, Posting | None]]]
"""Makes the effect, or reverses what stands of it; gives the answer, and what was changed, None for nothing."""


def hash_request(method: str, path: str, members: Mapping[str, Any]) -> bytes:
    """Return what tells one request from another: 32 bytes over method, path and members, in whatever order they came.

    Leave out members that have their default, so that a request can be given a new one without making strangers of those
    that were known before.
    """
    text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), text.encode()))).digest()


async def once(connection: Connection, operation: Operation, work: Work, undoes: tuple[str, ...] = ()) -> StoredAnswer:
    """Do something once, whoever asks for it however often; all of it is in the caller's transaction.

    Args:
        connection: In a transaction at READ COMMITTED, which is committed when this returns and taken back when it raises.
        operation: What is asked for.
        work: Is called at most once, and not at all where it was done before.
        undoes: Of a compensation, the subjects of the actions that must not happen any more, in the order in which they are
            locked.

    Raises:
        Refused: 409 `fenced` when the compensation came first; 422 `key-reused` when the key stands for another request;
            422 `subject-reused` when the subject was made by another request under another key. Nothing was done.
    """
    if operation.direction == "action":
        stored = await _claim_action(connection, operation)
    else:
        stored = await _claim_compensation(connection, operation, undoes or (operation.subject,))
    if stored is not None:
        return replace(stored, replayed=True)
    answer, effect = await work()
    fields = asdict(operation) | {
        "status": answer.status,
        "body": answer.body.decode(),
        "order_id": effect and effect.order_id,
        "kind": effect and effect.kind,
        "amounts": effect and Jsonb(dict(effect.amounts)),
    }
    await connection.execute(_STORE_ANSWER, fields)
    return answer


async def find_operation(connection: Connection, key: str) -> StoredAnswer:
    """Tell whether the operation with a key was done, without doing anything.

    A tombstone bears the key of the compensation that left it; in keys of the form `ORDER:STEP:action` that is
    `ORDER:STEP:compensation`. Of an action whose key has another form it can only be told that it was not done.

    Returns:
        The answer that was given when it was done.

    Raises:
        Refused: 409 `fenced` when it was undone before it was done, and so never will be; 404 `operation-not-found` when it
            was not done by now, or when one key was used for several things and so names none.
    """
    undo_key = f"{key.removesuffix(':action')}:compensation" if key.endswith(":action") else None
    found = await _rows(connection, FIND_OPERATION, {"key": key, "undo_key": undo_key})
    done = [body for reason, body in found if reason == "done"]
    if len(done) == 1:
        return StoredAnswer(200, done[0].encode())
    if found and not done:
        raise Refused(409, "fenced", "This was undone before it was done.", "It cannot be done any more.")
    raise Refused(404, "operation-not-found", "No operation with this key was done by now.")


async def page_effects(
    connection: Connection, after: int = 0, order_id: str | None = None, limit: int = PAGE_MAX
) -> tuple[list[dict[str, Any]], int | None]:
    """Read one page of the log of what was really done, as `GET /effects` shows it: effects, and the next page's `after`.

    A position in the log is given out when a row is written and seen when its transaction commits, and these orders differ: a
    reader that has passed position 5 would never see position 4, committed later. So a page ends at the last position given
    out, and is read once every transaction that was writing at that moment has ended. Writers are never held up.

    Args:
        connection: In autocommit or at READ COMMITTED: each statement must see what is committed by then.
        after: Position after which to start.
        order_id: Only effects of this order; None for all.
        limit: Most effects to return.

    Raises:
        Refused: 503 when a transaction that writes to the log does not end.
    """
    last = await _settled_position(connection)
    fields = {"after": after, "order_id": order_id, "last": last, "limit": limit + 1}
    names = ("seq", "operation_key", "order_id", "kind", "amounts", "at")
    found = [dict(zip(names, row, strict=True)) for row in await _rows(connection, _PAGE_EFFECTS, fields)]
    return found[:limit], found[limit - 1]["seq"] if len(found) > limit else None


async def _claim_action(connection: Connection, operation: Operation) -> StoredAnswer | None:
    """Take the fence of an action: None when the effect is now the caller's to make."""
    if await _rows(connection, _TAKE_FENCE, asdict(operation)):
        return None
    rows = await _rows(connection, _READ_FENCE, asdict(operation))
    if not rows:
        raise _key_reused()  # the subject is free, so what stood in the way was the key of another action
    ((reason, key, request_hash, status, body),) = rows
    if reason == "undone":
        raise Refused(409, "fenced", "This was undone before it was done.", f"{operation.subject} cannot be done any more.")
    if request_hash in (None, operation.request_hash):  # none where it was erased, with what it told of a person
        return StoredAnswer(status, body.encode())
    if key == operation.key:
        raise _key_reused()
    detail = f"{operation.subject} was made by another request."
    raise Refused(422, "subject-reused", "This exists with another content.", detail)


async def _claim_compensation(connection: Connection, operation: Operation, undoes: tuple[str, ...]) -> StoredAnswer | None:
    """Put tombstones, waiting for actions in flight, then take the fence: None when what stands is the caller's to reverse.

    A compensation is known by what it undoes: under another key it is still the same one.
    """
    await connection.execute(_PLACE_TOMBSTONES, {"subjects": list(undoes), "key": operation.key})
    if await _rows(connection, _TAKE_FENCE, asdict(operation)):
        return None
    ((_, key, request_hash, status, body),) = await _rows(connection, _READ_FENCE, asdict(operation))
    if key == operation.key and request_hash != operation.request_hash:
        raise _key_reused()
    return StoredAnswer(status, body.encode())


async def _settled_position(connection: Connection) -> int:
    """Return a position below which no row can appear any more."""
    ((last,),) = await _rows(connection, _READ_LAST_POSITION)
    waited_for = set(await _rows(connection, _LIST_WRITERS))  # after the position: who has one by then is in here, or done
    for _ in range(int(SETTLE_TIMEOUT_S / SETTLE_POLL_S)):
        if not waited_for:
            return int(last)
        await asyncio.sleep(SETTLE_POLL_S)
        waited_for &= set(await _rows(connection, _LIST_WRITERS))
    raise Refused(503, "unsettled", "A transaction that writes to the log does not end.")


async def _rows(connection: Connection, statement: LiteralString, fields: Mapping[str, Any] | None = None) -> list[Any]:
    # Whatever the rows of the caller's connection are.
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement, fields)
        return await cursor.fetchall()


def _key_reused() -> Refused:
    return Refused(422, "key-reused", "This Idempotency-Key stands for another request.")


# Waits for a call about the same subject that is in flight, and for one with the same key; no row back means that one of
# them was there first.
_TAKE_FENCE: Final = """
insert into fence (subject, operation, reason, idempotency_key, request_hash)
values (%(subject)s, %(direction)s, 'done', %(key)s, %(request_hash)s) on conflict do nothing returning true"""

# Takes the place of actions that have not come yet, and waits for those in flight. Where one was done, nothing changes.
_PLACE_TOMBSTONES: Final = """
insert into fence (subject, operation, reason, idempotency_key)
select subject, 'action', 'undone', %(key)s
from unnest(%(subjects)s::text[]) with ordinality as named (subject, place) order by place on conflict do nothing"""

_READ_FENCE: Final = """
select reason, idempotency_key, request_hash, status, body from fence
where subject = %(subject)s and operation = %(direction)s"""

# Keeps the answer beside its fence and writes the effect, if there was one, in the same statement.
_STORE_ANSWER: Final = """
with answered as (
    update fence set status = %(status)s, body = %(body)s where subject = %(subject)s and operation = %(direction)s
)
insert into effect (operation_key, order_id, kind, amounts)
select %(key)s, %(order_id)s::text, %(kind)s::text, %(amounts)s::jsonb where %(kind)s::text is not null"""

# The fences that an operation was done under, and tombstones that stand in its place.
FIND_OPERATION: Final = """
select reason, body from fence where idempotency_key = %(key)s and operation = 'action' and reason = 'done'
union all select reason, body from fence where idempotency_key = %(key)s and operation = 'compensation'
union all select reason, body from fence where idempotency_key = %(undo_key)s and reason = 'undone'"""

# The last position given out in the log of effects, whether its transaction has ended or not.
_READ_LAST_POSITION: Final = "select case when is_called then last_value else 0 end from effect_seq_seq"

# The transactions that write to the log at this moment. A transaction holds this lock before it is given a position, and
# gives it back after its rows can be seen.
_LIST_WRITERS: Final = """
select virtualtransaction from pg_locks
where locktype = 'relation' and database = (select oid from pg_database where datname = current_database())
  and relation = 'effect'::regclass and mode = 'RowExclusiveLock' and granted"""

# The log in order, up to a position below which nothing can appear any more.
_PAGE_EFFECTS: Final = """
select seq, operation_key, order_id, kind, amounts, at from effect
where seq > %(after)s and seq <= %(last)s and (%(order_id)s::text is null or order_id = %(order_id)s)
order by seq limit %(limit)s"""
