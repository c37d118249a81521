"""`python -m bench`: measure everything, and write it down."""

import argparse
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final

import psycopg

from bench import chain, fairness, feed, floors, latency, measure, named, phases, report, room, traces, wall
from bench.contestant import Contestant
from bench.footprint import footprint
from bench.job import ROOT
from bench.machine import facts_of
from bench.named import QUICK, Sizes
from bench.ours import OURS
from bench.server import Server, running_server
from bench.stub import Stub, running_stub

FOLDER: Final = ROOT / "build" / "bench"
ONE_BY_ONE: Final = "pgbench, six transactions a saga, 32 clients"
AT_ONCE: Final = "pgbench, six statements for 100 sagas at once"


def main() -> None:
    """Read what is asked for, measure it, write it down."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: shows that it works, proves nothing")
    parser.add_argument("--rounds", type=int, help="rounds of everything that is compared")
    parser.add_argument("--finished", type=int, help="finished rows of the full ledger")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a contestant or a named figure; repeat it")
    parser.add_argument("--database-url", metavar="URL", help="a server to measure on; else an embedded one")
    parser.add_argument("--dry-run", action="store_true", help="print; leave bench/README.md as it is")
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else Sizes()
    sizes = replace(sizes, rounds=asked.rounds or sizes.rounds, finished=asked.finished or sizes.finished)
    logging.getLogger().setLevel(logging.WARNING)
    # What was started is stopped again, whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before its time"))
    began_s = time.monotonic()
    with running_server(asked.database_url) as server, running_stub() as stub:
        results = measured(server, stub, sizes, set(asked.only))
    results["facts"]["command"] = " ".join(["`python -m bench", *sys.argv[1:]]) + "`"
    results["facts"]["took"] = f"{(time.monotonic() - began_s) / 60:.0f} minutes"
    report.stored(FOLDER).write_text(json.dumps(results, indent=1), encoding="utf-8")
    if not asked.dry_run and not asked.only:
        report.write(results)
    print(report.rendered(results) if "Sagaledger" in results["drains"] else json.dumps(results["named"], indent=1))
    if results["failed"]:
        sys.exit(f"could not be measured: {', '.join(results['failed'])}")


def measured(server: Server, stub: Stub, sizes: Sizes, only: set[str]) -> dict[str, Any]:
    """Measure everything, or only what is named."""
    contestants = [c for c in (OURS, *_peers()) if not only or c.name in only]
    results: dict[str, Any] = {
        "facts": facts_of(server, contestants),
        "tuning": {contestant.name: contestant.tuning for contestant in contestants},
        "drains": {},
        "singles": {},
        "named": {},
        "failed": [],
    }
    results["facts"]["stub"] = _say("the stub's own ceiling", lambda: f"at least {stub.ceiling():,.0f} POSTs a second")
    for number in range(1, sizes.rounds + 1):
        _round(server, stub, sizes, contestants, results, number, only)
    figures: dict[str, Callable[[], Any]] = {
        "two_workers": lambda: named.two_workers(server, sizes),
        "full_ledger": lambda: named.full_ledger(server, stub, sizes),
        "claims": lambda: named.claims(server, sizes),
        "waiting_memory": lambda: named.waiting_memory(server, sizes),
        "idle": lambda: named.idle(server, stub, sizes),
        "notify": lambda: named.notify(sizes),
        "many_clients": lambda: named.many_clients(sizes),
        "fairness": lambda: fairness.fairness(sizes),
        "phases": lambda: phases.phases(sizes),
        "feed": lambda: feed.feed(server, sizes),
        "chain": lambda: chain.chain(server, sizes),
        "verify": lambda: chain.verify(server, sizes),
        "wall": lambda: wall.wall(server, sizes),
        "room": lambda: room.room(server, sizes),
        "traces": lambda: traces.traces(server, stub, sizes),
        "latency": lambda: latency.measure(sizes.latency),
        "footprint": lambda: footprint(sizes.posts),
    }
    for name, figure in figures.items():
        if not only or name in only:
            try:
                results["named"][name] = _say(name, figure)
            except Exception as error:
                # What was measured before is worth minutes; the end of the run tells of it again.
                print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                results["failed"].append(name)
    return results


def _round(
    server: Server,
    stub: Stub,
    sizes: Sizes,
    contestants: list[Contestant],
    results: dict[str, Any],
    number: int,
    only: set[str],
) -> None:
    # Each round begins with another contestant, so that what warms up or grows favours none.
    shift = number % len(contestants) if contestants else 0
    for contestant in contestants[shift:] + contestants[:shift]:
        try:
            _take_turn(server, stub, sizes, contestant, results, f"round {number}: {contestant.name}")
        except (measure.Failed, subprocess.SubprocessError, psycopg.Error) as error:
            print(f"{contestant.name} failed in round {number}: {error}", file=sys.stderr, flush=True)
            results["failed"].append(contestant.name)
    pgbench = floors.find_pgbench()
    if pgbench is None:
        print("pgbench was not found: the two floors are left out", file=sys.stderr)
    elif not only or "floors" in only:
        for name, run, sagas in (
            (ONE_BY_ONE, floors.one_by_one, sizes.floor_sagas),
            (AT_ONCE, floors.hundreds_at_once, sizes.floor_sagas * 10),
        ):
            floor = _say(f"round {number}: {name}", lambda r=run, n=sagas: r(server, pgbench, n))  # type: ignore[misc]
            results["drains"].setdefault(name, []).append(asdict(floor))


def _take_turn(server: Server, stub: Stub, sizes: Sizes, contestant: Contestant, results: dict[str, Any], title: str) -> None:
    sagas = max(int(contestant.sagas * sizes.share), 50)
    drain = _say(f"{title} drains", lambda: measure.drain(contestant, server, stub, sagas))
    results["drains"].setdefault(contestant.name, []).append(asdict(drain))
    times = _say(f"{title}, one by one", lambda: measure.singles(contestant, server, stub, sizes.singles))
    results["singles"].setdefault(contestant.name, []).append(times)


def _peers() -> tuple[Contestant, ...]:
    try:
        from bench.peers import all_peers

        return all_peers()
    except ModuleNotFoundError as error:
        print(f"the peers are left out: {error.name} is not installed here; `make bench` installs them", file=sys.stderr)
        return ()


def _say(what: str, do: Callable[[], Any]) -> Any:
    began_s = time.monotonic()
    found = do()
    shown = f" {found.sagas_s:,.0f} sagas/s" if hasattr(found, "sagas_s") else f" {found}" if isinstance(found, str) else ""
    print(f"{what}:{shown} ({time.monotonic() - began_s:.0f} s)", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
