"""The checks of the conformance kit: each makes a trial of an operation and says in one sentence what it saw.

Whether something was done is read from the participant's own log of effects, never from its answers alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from orchestrator.operations import conform_undo
from orchestrator.operations.conform_case import JSON, Case, Failed, expect_done, expect_refused, expect_same

AT_ONCE: Final = 20

_GARBAGE_KEYS: Final[tuple[str | None, ...]] = (None, "", "two words", "x" * 256)
_GARBAGE_BODIES: Final = (b"", b"{", b"[]", b"null", b'"text"', b'{"nonsense": 1}', b'{"order_id": "\xff"}', b"[" * 10_000)


async def is_done_once(case: Case) -> str:
    """Do it: the answer repeats what was asked, and the log has one effect under its key."""
    expect_done(await case.act(), "it")
    await case.expect_times("action", 1)
    if not await case.standing():
        raise Failed("it was answered as done, and its effect adds to no account")
    return "one effect, and the answer repeats what was asked"


async def repeats(case: Case) -> str:
    """A duplicate, later and in another layout too, gets the stored answer."""
    first = await case.act()
    expect_done(first, "it")
    expect_same(await case.act(), first, "a duplicate")
    members = case.operation.action.body(case.request) or {}
    layout = orjson.dumps(dict(reversed(members.items())), option=orjson.OPT_INDENT_2)
    again = await case.subject.call(case.operation.action, case.request, case.key("action"), layout)
    expect_same(again, first, "a duplicate in another layout")
    await case.expect_times("action", 1)
    return "the stored answer, byte for byte, and no second effect"


async def repeats_later(case: Case) -> str:
    """A duplicate after some time gets the stored answer."""
    first = await case.act()
    expect_done(first, "it")
    await asyncio.sleep(case.subject.wait_s)
    expect_same(await case.act(), first, "a duplicate")
    await case.expect_times("action", 1)
    return f"the stored answer, byte for byte, {case.subject.wait_s:g} s later"


async def repeats_at_once(case: Case) -> str:
    """Duplicates that arrive together are done once and answered alike."""
    answers = await asyncio.gather(*(case.act() for _ in range(AT_ONCE)))
    for answer in answers:
        expect_done(answer, f"one of {AT_ONCE} at once")
    await case.expect_times("action", 1)
    for answer in answers:
        if answer.body != answers[0].body:
            raise Failed(f"{AT_ONCE} at once were answered differently")
    return f"{AT_ONCE} at once had one effect and one answer"


async def refuses_other_content(case: Case) -> str:
    """The key of something done is refused for anything else; the first stands."""
    first = await case.act()
    expect_done(first, "it")
    expect_refused(await case.act(case.operation.request(case.names, 2)), "another content under the same key")
    stranger = Case(case.subject, case.operation)
    await stranger.prepare()
    try:
        reused = await case.subject.call(case.operation.action, stranger.request, case.key("action"))
        expect_refused(reused, "another thing under the same key")
        if any(effect.operation_key == case.key("action") for effect in await stranger.effects()):
            raise Failed("another thing under the same key was refused and has an effect")
    finally:
        await stranger.clean()
    expect_same(await case.act(), first, "the first request, repeated after that,")
    await case.expect_times("action", 1)
    return "refused, and the first answer and effect stand"


async def refuses_garbage_keys(case: Case) -> str:
    """A call that changes something and has no key is refused."""
    body = orjson.dumps(case.operation.action.body(case.request))
    for key in _GARBAGE_KEYS:
        headers = {"Content-Type": JSON} | ({} if key is None else {"Idempotency-Key": key})
        await _expect_garbage(case, headers, body, f"the key {key!r:.20}")
    await case.expect_nothing_done()
    return f"{len(_GARBAGE_KEYS)} keys that are none refused with 4xx, no effect"


async def refuses_garbage_bodies(case: Case) -> str:
    """What is no request is refused, and does not spoil the key for the right one."""
    headers = {"Content-Type": JSON, "Idempotency-Key": case.key("action")}
    invalid = orjson.dumps({**(case.operation.action.body(case.request) or {}), **case.operation.invalid})
    for body in (*_GARBAGE_BODIES, invalid):
        await _expect_garbage(case, headers, body, f"the body {body[:20]!r}")
    await case.expect_nothing_done()
    expect_done(await case.act(), "the right request, under the key of those,")
    return f"{len(_GARBAGE_BODIES) + 1} bodies refused with 4xx, no effect, the key still usable"


async def tells_by_key(case: Case) -> str:
    """`GET /operations/KEY` says that nothing was done, then repeats the stored answer."""
    before = await case.probe()
    if before.status != 404:
        raise Failed(f"asked before it was done, GET /operations/KEY {before.told}")
    done = await case.act()
    expect_done(done, "it")
    after = await case.probe()
    if (after.status, after.body) != (200, done.body):
        raise Failed(f"asked after it was done, GET /operations/KEY does not repeat the answer: {after.told}")
    return "404 before, 200 with the stored answer after"


@dataclass(frozen=True, slots=True)
class Check:
    """A check by name, and what an operation must have for it."""

    name: str
    make: Callable[[Case], Awaitable[str]]
    needs: Literal["", "undo", "confirm"] = ""


CHECKS: Final = (
    Check("done once", is_done_once),
    Check("duplicate", repeats),
    Check("duplicates at once", repeats_at_once),
    Check("duplicate later", repeats_later),
    Check("other content, same key", refuses_other_content),
    Check("garbage keys", refuses_garbage_keys),
    Check("garbage bodies", refuses_garbage_bodies),
    Check("told by key", tells_by_key),
    Check("undo", conform_undo.undoes, "undo"),
    Check("double undo", conform_undo.undoes_twice, "undo"),
    Check("undos at once", conform_undo.undoes_at_once, "undo"),
    Check("undo first", conform_undo.undoes_what_never_was, "undo"),
    Check("late action", conform_undo.refuses_the_late_action, "undo"),
    Check("duplicate after undo", conform_undo.stays_undone, "undo"),
    Check("action against undo", conform_undo.races_with_its_undo, "undo"),
    Check("confirm", conform_undo.confirms_once, "confirm"),
    Check("undo after confirm", conform_undo.reverses_what_was_confirmed, "confirm"),
    Check("late confirm", conform_undo.refuses_the_late_confirm, "confirm"),
    Check("confirm against undo", conform_undo.confirm_races_with_undo, "confirm"),
)


async def _expect_garbage(case: Case, headers: dict[str, str], body: bytes, what: str) -> None:
    action = case.operation.action
    reply = await case.subject.send(action.method, action.url_path(case.request), headers, body)
    if isinstance(reply, str) or not 400 <= reply.status < 500:
        raise Failed(f"{what} was not refused with 4xx: {reply if isinstance(reply, str) else f'answered {reply.status}'}")
