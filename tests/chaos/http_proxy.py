"""A network in front of a participant that loses, spoils, repeats and delays; the participant itself knows nothing of it."""

import asyncio
import random
import socket
import struct
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from tests.chaos import http_wire as wire
from tests.chaos.faults import Fault, Faults, Operation
from tests.chaos.http_wire import Call, Reply

SILENCE_S: Final = 8.0
"""Longer than any caller waits."""
AGAIN_S: Final = 0.1
"""A late request that meets a participant which is down arrives once more after this."""
Refusal = Callable[[asyncio.StreamWriter, random.Random], Awaitable[bool]]
RETRY_AFTER: Final = ("0", "1", "-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "0.5")


@dataclass(frozen=True, slots=True)
class Strike:
    """What a call met.

    Attributes:
        at_s: Time of its end, by the wall clock.
        fault: What happened to it; None for nothing.
        status: What the participant answered; None when it was not reached, or not yet.
    """

    at_s: float
    fault: Fault | None
    status: int | None


class Bank:
    """What all proxies of a run know together: how often each operation was called, and what it met.

    Attributes:
        on: Whether faults are dealt.
        strikes: By operation key, in order.
        counts: How often each thing happened.
    """

    def __init__(self, faults: Faults, trap_url: str) -> None:
        self.on = True
        self.trap_url = trap_url
        self.strikes: defaultdict[str, list[Strike]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.faults = faults
        self.undone: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def note(self, key: str, fault: Fault | None, reply: Reply | None) -> None:
        """Keep what a call met."""
        before = self.strikes[key]
        if reply is not None and reply.replayed and any(s.fault and s.status in (200, 201) for s in before):
            self.counts["unknown turned out done"] += 1
        if fault is not None:
            self.counts[f"fault: {fault}"] += 1
        before.append(Strike(time.time(), fault, reply.status if reply else None))

    def end(self) -> None:
        """Deal nothing more, and let everything that was held up arrive."""
        self.on = False
        for event in self.undone.values():
            event.set()


class HttpProxy:
    """Stands in front of one participant.

    Args:
        name: The participant.
        port: Where it listens.
        bank: What the proxies share.

    Attributes:
        flapping: Whether every second call fails.
        away: Whether nothing is passed on at all.
        lag_s: How long every call is on its way to the participant.
    """

    def __init__(self, name: str, port: int, bank: Bank) -> None:
        self.name = name
        self.url = ""
        self.flapping = False
        self.away = False
        self.lag_s = 0.0
        self._target = port
        self._bank = bank
        self._last_good: dict[str, tuple[str, Reply]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["HttpProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=wire.HEAD_MAX)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def idle(self) -> None:
        """Wait until everything that was held up has arrived."""
        while any(task.get_name() == "late" for task in self._tasks):
            await asyncio.sleep(0.02)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (call := await wire.read_call(reader)) and await self._answer(call, writer):
                pass
        except (OSError, EOFError, ValueError, RuntimeError, asyncio.CancelledError):
            # The caller is gone, or says what is no HTTP; uvloop says so by a RuntimeError.
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        """Answer a call in whatever way; tell whether the connection may go on."""
        operation = Operation.of(call.headers.get("idempotency-key", ""))
        fault = self._fault(operation, call)
        key = call.headers.get("idempotency-key", f"{call.method} {call.path}")
        if self.away:
            self._bank.note(key, Fault.UNREACHABLE, None)
            return False
        if fault is Fault.LATE and operation is not None:
            self._hold_up(call, key, operation)
            await asyncio.sleep(SILENCE_S)
            return False
        if fault is not None and fault in _NEVER_REACHED:
            self._bank.note(key, fault, None)
            return await _NEVER_REACHED[fault](writer, random.Random(key))
        await asyncio.sleep(self.lag_s)
        try:
            reply = await self._pass_on(call, twice=fault is Fault.TWICE)
        except (OSError, EOFError, ValueError):
            self._bank.note(key, Fault.UNREACHABLE, None)
            return False
        self._bank.note(key, fault, reply)
        if operation is not None and reply.status in (200, 201) and operation.direction == "compensation":
            self._bank.undone[key].set()
        return await self._give(reply, fault, key, writer)

    def _fault(self, operation: Operation | None, call: Call) -> Fault | None:
        if not self._bank.on or operation is None:
            return None
        number = len(self._bank.strikes[call.headers["idempotency-key"]])
        fault = self._bank.faults.strike(operation, number)
        if fault is None and self.flapping:
            fault = self._bank.faults.flap(operation, number)
        return fault

    async def _pass_on(self, call: Call, *, twice: bool) -> Reply:
        if not twice:
            return await wire.exchange(self._target, call)
        first, second = await asyncio.gather(wire.exchange(self._target, call), wire.exchange(self._target, call))
        # One may have met a server that was just being restarted.
        if first.status < 500 and second.status < 500 and (first.status, first.body) != (second.status, second.body):
            self._bank.counts["two answers to one operation at once"] += 1
        return first

    def _hold_up(self, call: Call, key: str, operation: Operation) -> None:
        """Have a request arrive only when it was undone, as on a network that lost it for a while."""

        async def arrive() -> None:
            await self._bank.undone[operation.undo_key].wait()
            reply = None
            while reply is None or reply.status >= 500:
                await asyncio.sleep(AGAIN_S)
                with suppress(OSError, EOFError, ValueError):
                    reply = await wire.exchange(self._target, call)
            self._bank.counts["late action refused" if reply.fenced else f"late action answered {reply.status}"] += 1

        self._bank.note(key, Fault.LATE, None)
        task = asyncio.create_task(arrive(), name="late")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give(self, reply: Reply, fault: Fault | None, key: str, writer: asyncio.StreamWriter) -> bool:
        template = key.partition(":")[2]
        other = self._last_good.get(template)
        if reply.status in (200, 201):
            self._last_good[template] = (key, reply)
        match fault:
            case None | Fault.TWICE:
                return await _send(writer, wire.render(reply))
            case Fault.SLOW:
                await asyncio.sleep(random.Random(key).uniform(0.0, 0.3))
                return await _send(writer, wire.render(reply))
            case Fault.SILENCE:
                await asyncio.sleep(SILENCE_S)
                return False
            case Fault.REDIRECT:
                return await _send(writer, wire.redirect(f"{self._bank.trap_url}/{self.name}"))
            case Fault.OTHER if other is not None and other[0] != key:
                return await _send(writer, wire.render(other[1]))
            case Fault.DROP_AFTER | Fault.OTHER:
                return False
            case Fault.RESET_AFTER:
                # Without lingering the close is a reset.
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        return await _spoil(writer, fault, reply, random.Random(key))


async def _spoil(writer: asyncio.StreamWriter, fault: Fault, reply: Reply, dice: random.Random) -> bool:
    whole = wire.render(reply)
    match fault:
        case Fault.ERROR_AFTER:
            return await _send(writer, wire.problem(500))
        case Fault.CUT:
            await _send(writer, whole[:-5])
            return False
        case Fault.DRIP:
            for place in range(len(whole)):
                await _send(writer, whole[place : place + 1])
                await asyncio.sleep(0.1)
            return False
        case Fault.GARBAGE:
            content = {"content-type": dice.choice(("application/json", "text/html"))}
            return await _send(writer, wire.render(Reply(200, content, dice.choice(wire.GARBAGE))))
        case Fault.BOMB:
            await _send(writer, wire.bomb_head())
            for _ in range(wire.BOMB_BYTES // 2**20):
                await _send(writer, b" " * 2**20)
        case Fault.GZIP:
            await _send(writer, wire.gzip_bomb())
        case Fault.HEADERS | Fault.LONG_LINE:
            await _send(writer, wire.header_bomb(one_line=fault is Fault.LONG_LINE))
    return False


async def _send(writer: asyncio.StreamWriter, data: bytes) -> bool:
    writer.write(data)
    await writer.drain()
    return True


async def _drop(_: asyncio.StreamWriter, __: random.Random) -> bool:
    return False


def _refuse(status: int) -> Refusal:
    async def refuse(writer: asyncio.StreamWriter, dice: random.Random) -> bool:
        headers = {"retry-after": dice.choice(RETRY_AFTER)} if status == 503 else {}
        return await _send(writer, wire.problem(status, **headers))

    return refuse


_NEVER_REACHED: Final[dict[Fault, Refusal]] = {
    Fault.ERROR_BEFORE: _refuse(500),
    Fault.DROP_BEFORE: _drop,
    Fault.BUSY: _refuse(503),
    Fault.FORBIDDEN: _refuse(401),
    Fault.ACCEPTED: _refuse(202),
}
