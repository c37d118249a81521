"""A whole stack on one machine: PostgreSQL, participants, orchestrators and edge, each a process of its own.

::

    reserve ports ─ start PostgreSQL ─ start the parts, waiting ─ migrate ─ write stack.json ─ let the parts go ─ ready
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp

from orchestrator.operations.part import Part, start_guard, start_part, stop_parts
from orchestrator.operations.plan import Addresses, StackPlan, local_host, plan_parts, reserve_addresses
from orchestrator.operations.ports import Ports
from sql import migrate, registry
from sql.embedded import embedded_server

READY_TIMEOUT_S: Final = 60.0
HEALTH_POLL_S: Final = 0.05
WATCH_S: Final = 0.1

Report = Callable[[str], None]
T = TypeVar("T")


class StackError(Exception):
    """The stack can't be started, or a part of it failed; nothing of it is left running."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that runs.

    Attributes:
        database_url: The ledger.
        edge_url: The clients' listener.
        admin_url: The admin listener.
        participant_urls: Address of each participant.
        participant_databases: Database of each participant.
        participant_secrets: What callers send to each participant that wants to see something.
        parts: The processes.
    """

    database_url: str
    edge_url: str
    admin_url: str
    participant_urls: dict[str, str]
    participant_databases: dict[str, str]
    participant_secrets: Mapping[str, str]
    parts: tuple[Part, ...]

    @property
    def orchestrators(self) -> tuple[Part, ...]:
        """The replicas."""
        return tuple(part for part in self.parts if part.name.startswith("orchestrator"))

    def document(self) -> dict[str, Any]:
        """Return what `stack.json` says."""
        pids = {part.name: part.pid for part in self.parts if part not in self.orchestrators}
        return {
            "database_url": self.database_url,
            "edge_url": self.edge_url,
            "admin_url": self.admin_url,
            "participants": {
                name: {"url": url, "database_url": self.participant_databases[name], **self._secret_of(name)}
                for name, url in self.participant_urls.items()
            },
            "pids": {"edge": pids.pop("edge"), "orchestrators": [part.pid for part in self.orchestrators], **pids},
        }

    def _secret_of(self, name: str) -> dict[str, str]:
        secret = self.participant_secrets.get(name)
        return {} if secret is None else {"secret": secret}


@asynccontextmanager
async def running_stack(plan: StackPlan, *, report: Report) -> AsyncIterator[Stack]:
    """Run a stack until the context is left; then nothing of it runs any more.

    Args:
        plan: What it consists of.
        report: Given a sentence for each part that ends by itself.

    Raises:
        StackError: It can't be started.
        PortError: A port can't be had.
        EmbeddedError: PostgreSQL did not start.
        MigrationError: A database can't be reached or brought to its schema.
    """
    async with AsyncExitStack() as opened:
        opened.enter_context(_lock(plan.folder))
        ports = opened.enter_context(contextlib.closing(Ports()))
        addresses = reserve_addresses(plan, ports)
        database_url = await _open_database(opened, plan)
        logs = _make_folder(plan.folder / "logs")
        parts: list[Part] = []
        opened.push_async_callback(stop_parts, parts)
        for part_plan in plan_parts(plan, addresses, database_url):
            parts.append(start_part(part_plan, logs, plan.cwd))
        stack = _describe(plan, addresses, database_url, tuple(parts))
        await asyncio.to_thread(_migrate, database_url, stack.participant_databases)
        await asyncio.to_thread(registry.register_participants, database_url, stack.participant_urls)
        opened.callback((plan.folder / "stack.json").unlink, missing_ok=True)
        _write_atomically(plan.folder / "stack.json", stack.document())
        ports.hand_over()
        for part in parts:
            part.release()
        await _wait_until_ready(stack.parts)
        ports.close()
        watching = asyncio.create_task(_watch(stack.parts, report))
        try:
            yield stack
        finally:
            watching.cancel()


async def run_until_signal(coroutine: Coroutine[Any, Any, T]) -> T | None:
    """Run a coroutine that SIGTERM and Ctrl-C cancel, once; return what it returns, None when it was cancelled."""
    task = asyncio.create_task(coroutine)
    loop = asyncio.get_running_loop()
    told = False

    def stop() -> None:
        nonlocal told
        # A second Ctrl-C must not interrupt the stop of the parts, which is bounded anyway.
        if not told:
            told = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        return None


def _describe(plan: StackPlan, addresses: Addresses, database_url: str, parts: tuple[Part, ...]) -> Stack:
    asked = plan.listeners
    return Stack(
        database_url=database_url,
        edge_url=f"http://{local_host(asked.host)}:{addresses.edge}",
        admin_url=f"http://{local_host(asked.admin_host)}:{addresses.admin}",
        participant_urls={name: f"http://127.0.0.1:{port}" for name, port in addresses.participants.items()},
        participant_databases=dict(plan.databases_of(database_url)),
        participant_secrets=plan.secrets.sent,
        parts=parts,
    )


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a data folder for this stack alone, for as long as this process lives."""
    _make_folder(folder)
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StackError(f"the data folder {folder} can't be used: {error.strerror}; choose another with --data-dir") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise StackError(
            f"another stack runs on the data folder {folder}: stop it, or choose another with --data-dir"
        ) from None
    try:
        # What a stack left that was killed: nobody may take it for this one's.
        (folder / "stack.json").unlink(missing_ok=True)
        yield
    finally:
        os.close(fd)


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"the folder {folder} can't be made: {error.strerror}; choose another with --data-dir") from None
    return folder


async def _open_database(opened: AsyncExitStack, plan: StackPlan) -> str:
    if plan.database_url is not None:
        return plan.database_url
    data = plan.folder.resolve() / "pg"
    # Users of the server that were killed never signed off; as the lock's holder this stack is its only user.
    (data / ".handle_pids.json").unlink(missing_ok=True)
    server = embedded_server(data)
    database_url = await _enter_whole(server)
    opened.callback(server.__exit__, None, None, None)
    guard = start_guard(data)
    opened.push_async_callback(stop_parts, (guard,))
    return database_url


async def _enter_whole(context: AbstractContextManager[str]) -> str:
    """Enter a context in a thread; a cancellation meanwhile leaves it again before it goes on."""
    entering = asyncio.ensure_future(asyncio.to_thread(context.__enter__))
    try:
        return await asyncio.shield(entering)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await entering
            context.__exit__(None, None, None)
        raise


def _migrate(database_url: str, participants: dict[str, str]) -> None:
    for folder, url in {"ledger": database_url, **participants}.items():
        migrate.apply(url, folder)


def _write_atomically(path: Path, document: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    # The addresses may hold a password, and secrets stand there.
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
    draft.replace(path)


async def _wait_until_ready(parts: tuple[Part, ...]) -> None:
    waiting = list(parts)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as session:
            while waiting:
                for part in parts:
                    if part.ended() is not None:
                        raise StackError(f"{part.name} did not start: {part.last_words()}")
                healthy = await asyncio.gather(*(_is_healthy(session, part.plan.health_url) for part in waiting))
                waiting = [part for part, well in zip(waiting, healthy, strict=True) if not well]
                if waiting:
                    await asyncio.sleep(HEALTH_POLL_S)
    except TimeoutError:
        raise StackError(f"{waiting[0].name} was not ready within {READY_TIMEOUT_S:g} s: see {waiting[0].log}") from None


async def _is_healthy(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _watch(parts: tuple[Part, ...], report: Report) -> None:
    alive = list(parts)
    while alive:
        await asyncio.sleep(WATCH_S)
        for part in [part for part in alive if part.ended() is not None]:
            alive.remove(part)
            report(f"{part.name} (pid {part.pid}) ended {_describe_end(part.ended())}; the rest goes on, see {part.log}")


def _describe_end(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with code {code}"
