"""The slots of one participant: how many calls, who stands in line, and how they come back after a recovery."""

import asyncio

from orchestrator.bulkhead import LINE_WAIT_S, TURN_MAX_S, Bulkhead


async def test_no_more_calls_than_there_are_slots() -> None:
    bulkhead = Bulkhead(2)

    entered = await asyncio.gather(*(bulkhead.enter() for _ in range(5)))

    assert sorted(entered) == [False, False, False, True, True]


async def test_a_fast_participant_is_waited_for_by_as_many_as_want() -> None:
    bulkhead = Bulkhead(2)
    waiting = [asyncio.create_task(bulkhead.enter()) for _ in range(200)]
    while not all(task.done() for task in waiting):
        await asyncio.sleep(0)
        bulkhead.leave(0.001, answered=True)

    assert all(task.result() for task in waiting)


async def test_who_stands_in_line_gets_the_slot_that_is_given_back() -> None:
    bulkhead = Bulkhead(1)
    assert await bulkhead.enter()

    waiting = asyncio.create_task(bulkhead.enter())
    await asyncio.sleep(0)
    bulkhead.leave(0.01, answered=True)

    assert await waiting


async def test_nobody_stands_in_line_for_a_turn_that_comes_late() -> None:
    bulkhead = Bulkhead(1)
    for _ in range(50):
        assert await bulkhead.enter()
        bulkhead.leave(LINE_WAIT_S * 0.4, answered=True)
    assert await bulkhead.enter()
    in_line = [asyncio.create_task(bulkhead.enter()) for _ in range(2)]
    await asyncio.sleep(0)

    third = asyncio.create_task(bulkhead.enter())
    await asyncio.sleep(0)

    assert third.done()
    assert not third.result()
    assert not any(task.done() for task in in_line)
    for _ in in_line:
        bulkhead.leave()
    assert [await task for task in in_line] == [True, True]


async def test_nobody_stands_in_line_where_no_call_ends() -> None:
    bulkhead = Bulkhead(1)
    assert await bulkhead.enter()
    bulkhead._moved_s -= LINE_WAIT_S + 1.0  # as if so much time had passed

    assert not await bulkhead.enter()
    assert bulkhead.turn_s() > LINE_WAIT_S


async def test_a_place_in_line_that_is_given_up_is_lost_to_nobody() -> None:
    bulkhead = Bulkhead(1)
    assert await bulkhead.enter()
    waiting = asyncio.create_task(bulkhead.enter())
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])
    bulkhead.leave()

    assert await bulkhead.enter()


async def test_a_slot_given_to_one_that_is_cancelled_at_that_moment_is_given_on() -> None:
    bulkhead = Bulkhead(1)
    assert await bulkhead.enter()
    waiting = asyncio.create_task(bulkhead.enter())
    await asyncio.sleep(0)

    bulkhead.leave()
    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert await bulkhead.enter()


async def test_after_a_recovery_the_slots_come_back_by_one_two_four() -> None:
    bulkhead, widths = Bulkhead(8), []
    bulkhead.recover()

    for _ in range(7):
        widths.append(bulkhead.width)
        assert await bulkhead.enter()
        bulkhead.leave(0.01, answered=True)

    assert widths == [1, 2, 2, 4, 4, 4, 4]
    assert bulkhead.width == 8


async def test_calls_that_are_not_answered_widen_nothing() -> None:
    bulkhead = Bulkhead(8)
    bulkhead.recover()

    for _ in range(5):
        assert await bulkhead.enter()
        bulkhead.leave(0.01, answered=False)

    assert bulkhead.width == 1


async def test_the_limit_can_be_changed_while_calls_are_on_their_way() -> None:
    bulkhead = Bulkhead(1)
    assert await bulkhead.enter()

    bulkhead.limit = 2
    assert await bulkhead.enter()
    bulkhead.limit = 1
    bulkhead.leave()

    assert not await bulkhead.enter()


async def test_turns_are_spread_by_how_long_calls_take_and_never_far_away() -> None:
    bulkhead = Bulkhead(2)
    for _ in range(50):
        assert await bulkhead.enter()
        bulkhead.leave(1.0, answered=True)

    turns = [bulkhead.turn_s() for _ in range(20)]

    assert turns == sorted(turns)
    assert 0.4 < turns[0] < 0.6
    assert 1.4 < turns[2] < 1.6
    assert turns[-1] <= TURN_MAX_S
