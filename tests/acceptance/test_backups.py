"""Back up and restore, done as the document says: a dump and a base backup with its log, restored after more has happened.

The stack has a server of its own, because a server is backed up as a whole. Only addresses, folders and the moment differ from
what is typed in the document.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from participants.settings import PORTS
from tests.acceptance.commands import run, saga, wait_for
from tests.acceptance.stack import Stack, running_stack
from tests.acceptance.stack_shop import Shop, open_shop
from tests.acceptance.test_tutorial import COMMAND_S, shell
from tests.documents import ROOT, blocks_in
from tests.servers import Server, binaries, servers, system_user

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]
SECTIONS = dict(
    part.split("\n", 1)
    for part in re.split(r"^## ", (ROOT / "docs/how-to/backup-and-restore.md").read_text(), flags=re.MULTILINE)[1:]
)
LEDGER = "sagaledger"


def lines(section: str, language: str) -> list[str]:
    """Return the lines of a section's blocks; of what is typed, what follows the prompt."""
    return [line.removeprefix("$ ") for block in blocks_in(SECTIONS[section], language) for line in block.splitlines()]


class Drill:
    """Types the document's commands, with folders of this test in place of the document's.

    Args:
        folder: For dump, checkpoint and backups.
        environment: Of a shell that has `saga`.
        stack: What is backed up.
        server: On which its databases are.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], stack: Stack, server: Server) -> None:
        self.folder = folder
        self._environment = {
            **stack.environment,
            "PATH": f"{binaries()}{os.pathsep}{environment['PATH']}",
            "SAGA_DATABASE_URL": server.url(LEDGER),
            "SERVER_URL": server.url(),
            "RESTORED_URL": server.url("restored"),
            "PGHOST": str(server.folder),
            "PGUSER": "postgres",
        }

    def here(self, text: str) -> str:
        return re.sub(r"(?<![\w.])/(backup|restored)\b", rf"{self.folder}/\1", text)

    def type(self, command: str, *codes: int, **settings: str) -> str:
        """Run a command that ends so; what it prints."""
        here = self.here(command).replace("sql/roles.sql", str(ROOT / "sql/roles.sql"))
        done = run(["bash", "-c", here], cwd=self.folder, env={**self._environment, **settings}, timeout_s=COMMAND_S)
        assert done.returncode in (codes or (0,)), (command, done.stdout, done.stderr)
        return done.stdout


@contextmanager
def databases_on(server: Server, folder: Path) -> Iterator[Mapping[str, str]]:
    migrated = saga("migrate", cwd=folder, timeout_s=120, SAGA_DATABASE_URL=server.url(LEDGER))
    assert migrated.returncode == 0, migrated.stderr
    yield {"ledger": server.url(LEDGER), **{name: server.url(f"{LEDGER}_{name}") for name in PORTS}}


@pytest.fixture
def archived() -> Iterator[tuple[Server, Server, Path]]:
    """A server whose log is archived as the document says, one to restore to, and the folder that is `/`."""
    with servers(2) as (server, other):
        folder = server.folder.parent / "drill"
        (folder / "backup" / "wal").mkdir(parents=True)
        for path in (folder, folder / "backup", folder / "backup" / "wal"):
            if (user := system_user()) is not None:
                shutil.chown(path, user)
        server.create()
        server.configure("\n".join(lines("Take them", "text")).replace("/backup", str(folder / "backup")) + "\n")
        server.configure(max_connections="200")
        server.start()
        yield server, other, folder


async def test_a_restored_ledger_and_its_participants_agree_again(
    archived: tuple[Server, Server, Path], tmp_path: Path
) -> None:
    server, other, folder = archived
    logs = tmp_path / "stack"
    logs.mkdir()
    with shell(tmp_path) as environment, running_stack(logs, databases_on(server, tmp_path)) as stack:
        async with open_shop(stack) as shop:
            drill = Drill(folder, environment, stack, server)
            known = await completed(shop, "backup-known")
            for command in lines("Take them", "console"):
                drill.type(command)
            later = await completed(shop, "backup-later")
            ((moment,),) = server.do("select now()::text")
            lost = await completed(shop, "backup-lost")

            await the_dump(drill, shop, known, {"backup-later": later, "backup-lost": lost})
            server.do("select pg_switch_wal()")
            the_moment(drill, server, other, str(moment), {known, later}, lost)


async def completed(shop: Shop, key: str) -> str:
    order = await shop.place(key)
    assert (await shop.ends(order))["status"] == "COMPLETED"
    return order


async def the_dump(drill: Drill, shop: Shop, known: str, since: dict[str, str]) -> None:
    """Restore the dump; the orders since come again by a repeat of their requests, and nothing is doubled."""
    stack = shop.stack
    restored = {"SAGA_DATABASE_URL": stack.databases["ledger"].replace(f"dbname={LEDGER}", "dbname=restored")}
    stands = {order: await shop.stands(order) for order in since.values()}
    for edge_or_replica in (*stack.edges, *stack.replicas):
        assert edge_or_replica.stop() == 0
    commands = lines("Restore the ledger", "console")
    before_the_start = commands.index("saga stats")
    for command in commands[:before_the_start]:
        drill.type(command, **(restored if command.startswith("saga") else {}))

    with stack.only(**restored):
        told = [drill.type(command, 0, 1, **restored) for command in commands[before_the_start:]]
        assert "unknown_order_holds_money" in told[-1]
        assert all(order in told[-1] for order in since.values())
        assert known not in told[-1]
        for key, order in since.items():
            assert (await shop.post(key)).order == order
            assert (await shop.ends(order))["status"] == "COMPLETED"
            assert await shop.stands(order) == stands[order]
        for command in ("saga reconcile", "saga audit"):
            drill.type(command, **restored)


def the_moment(drill: Drill, server: Server, other: Server, moment: str, there: set[str], lost: str) -> None:
    """Restore the base backup to a moment: what was committed before it is there, and nothing else."""
    wait_for(
        lambda: (
            server.do("select last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1048576) from pg_stat_archiver")
            == [(True,)]
        )
    )
    for line in lines("Restore the ledger", "text"):
        name, is_setting, value = line.partition(" = ")
        if not is_setting:
            drill.type(line)
            continue
        stated = f"'{moment}'" if name == "recovery_target_time" else drill.here(value)
        with (drill.folder / "restored" / "postgresql.conf").open("a") as file:
            file.write(f"{name} = {stated}\n")
    shutil.move(drill.folder / "restored", other.folder / "data")
    if (user := system_user()) is not None:
        for path in ((other.folder / "data"), *(other.folder / "data").rglob("*")):
            shutil.chown(path, user)
    (other.folder / "data").chmod(0o700)
    other.start()

    rows = {str(order) for (order,) in other.do("select order_ledger_id from order_ledger", database=LEDGER)}
    assert there <= rows
    assert lost not in rows
    assert wait_for(lambda: other.do("select pg_is_in_recovery()") == [(False,)])
    drill.type("saga audit verify", SAGA_DATABASE_URL=other.url(LEDGER))
