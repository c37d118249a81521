"""The checks of undo and confirm, of which each trial is read from the participant's own log of effects."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from orchestrator.operations.conform_case import Case, Failed, expect_done, expect_refused, expect_same

AT_ONCE: Final = 20
ROUNDS: Final = 5
"""Races are run several times, each with fresh names: a participant that is wrong is wrong in some of them."""


async def undoes(case: Case) -> str:
    """Undo takes the action's own request and leaves nothing standing."""
    expect_done(await case.act(), "it")
    expect_done(await case.undo(), "undo with the action's request")
    await case.expect_undone()
    return "with the action's request; nothing stands"


async def undoes_twice(case: Case) -> str:
    """A second undo is answered as the first, and does nothing, under another key too."""
    expect_done(await case.act(), "it")
    first = await case.undo()
    expect_done(first, "undo")
    expect_same(await case.undo(), first, "a second undo")
    expect_done(await case.undo("again"), "undo under another key")
    await case.expect_times("compensation", 1)
    await case.expect_times("again", 0)
    await case.expect_undone()
    return "the stored answer, and one effect"


async def undoes_at_once(case: Case) -> str:
    """Undos that arrive together reverse once."""
    expect_done(await case.act(), "it")
    for answer in await asyncio.gather(*(case.undo() for _ in range(AT_ONCE))):
        expect_done(answer, f"one of {AT_ONCE} undos at once")
    await case.expect_times("compensation", 1)
    await case.expect_undone()
    return f"{AT_ONCE} at once reversed once"


async def undoes_what_never_was(case: Case) -> str:
    """Undo of what was never done succeeds and does nothing."""
    expect_done(await case.undo(), "undo of what was never done")
    await case.expect_nothing_done()
    return "200, no effect"


async def refuses_the_late_action(case: Case) -> str:
    """After the undo the action is refused, for ever."""
    expect_done(await case.undo(), "undo of what was never done")
    for _ in range(2):
        late = await case.act()
        if late.status != 409:
            raise Failed(f"the action that came after its undo was not refused with 409: {late.told}")
    await case.expect_nothing_done()
    if (asked := await case.probe()).status not in (404, 409):
        raise Failed(f"it was refused, yet GET /operations/KEY {asked.told}")
    return "409, twice, no effect"


async def stays_undone(case: Case) -> str:
    """A duplicate of an action that was undone does not do it again."""
    expect_done(await case.act(), "it")
    expect_done(await case.undo(), "undo")
    await case.act()
    await case.expect_times("action", 1)
    await case.expect_undone()
    return "a duplicate after the undo does nothing"


async def races_with_its_undo(case: Case) -> str:
    """Whatever comes first, action or undo: at the end nothing stands."""

    async def race(round_: Case) -> None:
        await asyncio.gather(round_.act(), round_.undo(), round_.act(), round_.undo())
        expect_done(await round_.undo(), "undo after the race")
        await round_.act()
        await round_.expect_undone()

    await _rounds(case, race)
    return f"{ROUNDS} races of two actions and two undos: nothing stands"


async def confirms_once(case: Case) -> str:
    """Confirm makes it stand, once."""
    expect_done(await case.act(), "it")
    first = await case.confirm()
    expect_done(first, "confirm")
    for answer in await asyncio.gather(*(case.confirm() for _ in range(5))):
        expect_same(answer, first, "a repeated confirm")
    await case.expect_times("confirmation", 1)
    return "one effect, repeats get the stored answer"


async def reverses_what_was_confirmed(case: Case) -> str:
    """Undo after confirm is a real reversal."""
    expect_done(await case.act(), "it")
    expect_done(await case.confirm(), "confirm")
    expect_done(await case.undo(), "undo after confirm")
    await case.expect_undone()
    await case.expect_times("compensation", 1)
    return "an effect that takes everything back"


async def refuses_the_late_confirm(case: Case) -> str:
    """Confirm is refused without the action, and after its undo."""
    expect_refused(await case.confirm(), "confirm without the action")
    expect_done(await case.act(), "the action after a confirm that was refused")
    expect_done(await case.undo(), "undo")
    expect_refused(await case.confirm(), "confirm after undo")
    await case.expect_times("confirmation", 0)
    await case.expect_undone()
    return "refused without the action and after the undo, no effect"


async def confirm_races_with_undo(case: Case) -> str:
    """Whatever comes first, confirm or undo: at the end nothing stands."""

    async def race(round_: Case) -> None:
        expect_done(await round_.act(), "it")
        await asyncio.gather(round_.confirm(), round_.undo(), round_.confirm())
        expect_done(await round_.undo(), "undo after the race")
        await round_.expect_undone()

    await _rounds(case, race)
    return f"{ROUNDS} races of confirm and undo: nothing stands"


async def _rounds(case: Case, race: Callable[[Case], Awaitable[None]]) -> None:
    for _ in range(ROUNDS):
        round_ = Case(case.subject, case.operation)
        await round_.prepare()
        try:
            await race(round_)
        finally:
            await round_.clean()
