"""Plants known bugs one by one in a copy of the tree and fails when the tests do not notice one.

Run it with `make mutants`, or `python tests/mutants.py NAME …` for some of them. A mutant is a text that must stand
exactly once in a file, what it becomes, and the tests that must then fail; before anything is planted those tests must
pass, so that a broken test can't pass for a vigilant one.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", ".sagaledger", "build", "dist")
LIMIT_S = 240


@dataclass(frozen=True)
class Mutant:
    """One bug.

    Attributes:
        name: What is wrong.
        path: File that it is planted in.
        old: Text that stands there exactly once.
        new: What it becomes.
        tests: What must fail, as pytest takes it.
    """

    name: str
    path: str
    old: str
    new: str
    tests: str


CLAIM = """            async with self._pool.connection() as conn:
                found = await ledger.claim_due(
                    conn,
                    owner=self._replica,
                    lease_s=self._settings.lease_s,
                    limit=limit,
                    fingerprints=self._definitions.fingerprints,
                    suspects=0 if self._has_suspect() else 1,
                    begun=not self._settings.takes_orders,
                )
"""
CALL = """                for claim in found.claims:
                    from orchestrator.fleet import Pass
                    from orchestrator.work import Work

                    work = Work.of(await self._definitions.of(conn, claim.row.definition_id), claim.row)
                    for call in work.advance(None, go_on=True).calls:
                        hold = Hold(claim, ends_at_s=began_s + self._settings.lease_s)
                        await self._runner._answer(work, hold, call, work.prepared(call), Pass("shop"))
"""
HERE = "tests/integration/orchestrator"
REPLICA = f"{HERE}/test_replica.py"
CLAIMS = f"{HERE}/test_claims.py"
CALLS = f"{HERE}/test_participant_calls.py"
CLAIMED = "set lease_owner = %(owner)s, lease_epoch = l.lease_epoch + 1,\n        lease_expires_at = "
MUTANTS = (
    Mutant(
        "what-waits-is-taken-though-it-is-switched-off",
        "sql/queries/ledger.sql",
        "is distinct from l.lease_epoch\n        and (l.status not in ('RECEIVED', 'PENDING')",
        "is distinct from l.lease_epoch\n        and (true",
        f"{CLAIMS}::test_only_what_has_begun_is_taken_where_no_more_is_wanted",
    ),
    Mutant(
        "no-epoch-in-the-write",
        "sql/queries/ledger.sql",
        "where l.lease_epoch = t.lease_epoch and l.last_seq = t.last_seq",
        "where l.last_seq = t.last_seq",
        f"{HERE}/test_writer.py::test_a_write_under_an_old_epoch_is_refused_whole",
    ),
    Mutant(
        "lease-by-the-start-of-the-transaction",
        "sql/queries/ledger.sql",
        f"{CLAIMED}clock_timestamp()",
        f"{CLAIMED}now()",
        f"{CLAIMS}::test_a_lease_begins_when_the_claim_got_through_and_not_when_it_began",
    ),
    Mutant(
        "attempt-counted-after-the-work",
        "sql/queries/ledger.sql",
        "lapses = l.lapses + due.lapsed::integer, ",
        "",
        f"{CLAIMS}::test_a_claim_that_ran_out_is_counted_by_the_next_before_any_work",
    ),
    Mutant(
        "everything-that-an-owner-held-is-suspect-at-once",
        "sql/queries/ledger.sql",
        "limit %(suspects)s",
        "limit 100 + %(suspects)s",
        f"{CLAIMS}::test_orders_that_their_owners_may_have_died_of_are_taken_one_by_one",
    ),
    Mutant(
        "listen-only-once",
        "orchestrator/listener.py",
        '            await session.execute(_QUERIES["listen"])\n',
        '            if not self.__dict__.setdefault("heard", []):\n'
        '                self.__dict__["heard"].append(await session.execute(_QUERIES["listen"]))\n',
        f"{REPLICA}::test_a_listener_that_was_terminated_is_woken_again",
    ),
    Mutant(
        "no-poll",
        "orchestrator/worker.py",
        "async with asyncio.timeout(self._settings.poll_interval_s):",
        "async with asyncio.timeout(None):",
        f"{REPLICA}::test_an_order_is_served_without_any_notification",
    ),
    Mutant(
        "http-inside-the-claim-transaction",
        "orchestrator/worker.py",
        CLAIM,
        CLAIM.replace("as conn:", "as conn, conn.transaction():") + CALL,
        f"{REPLICA}::test_no_transaction_is_open_while_a_participant_is_called",
    ),
    Mutant(
        "timeout-counted-as-rejected",
        "orchestrator/participant.py",
        'return Unknown(f"{endpoint.participant} did not answer',
        'return Rejected(f"{endpoint.participant} did not answer',
        f"{CALLS}::test_a_slow_answer_is_unknown_at_its_total_time",
    ),
    Mutant(
        "redirects-followed",
        "orchestrator/transport/fallback.py",
        "allow_redirects=False",
        "allow_redirects=True",
        f"{CALLS}::test_everything_else_is_unknown",
    ),
    Mutant(
        "body-read-without-a-cap",
        "orchestrator/transport/connection.py",
        "if len(self._body) > BODY_BYTES_MAX:",
        "if False:",
        f"{CALLS}::test_an_oversized_answer_is_unknown_whatever_it_says",
    ),
    Mutant(
        "body-read-without-a-cap-by-the-fallback",
        "orchestrator/transport/fallback.py",
        "if len(answer) > BODY_BYTES_MAX:",
        "if False:",
        f"{CALLS}::test_an_oversized_answer_is_unknown_whatever_it_says",
    ),
    Mutant(
        "undo-without-tombstone",
        "participants/idempotency.py",
        '    await connection.execute(_PLACE_TOMBSTONES, {"subjects": list(undoes), "key": operation.key})\n',
        "",
        "tests/integration/participants/test_inventory_service.py::test_release_first_refuses_the_late_reservation",
    ),
    Mutant(
        "operation-key-with-the-attempt-in-it",
        "orchestrator/work.py",
        "key = operation_key(self.order_id, call.step, call.direction)",
        'key = f"{operation_key(self.order_id, call.step, call.direction)}:{call.attempt}"',
        f"{REPLICA}::test_a_retry_carries_the_same_operation_key",
    ),
    Mutant(
        "key-not-scoped-by-client",
        "orchestrator/identity.py",
        'return derived_id("order", client_id, client_request_id)',
        'return derived_id("order", client_request_id)',
        "tests/unit/core/test_identity.py::test_the_same_key_of_another_client_is_another_order",
    ),
)


def main(names: list[str]) -> int:
    """Plant the named mutants, or all; return the exit code."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    unknown = set(names) - {mutant.name for mutant in MUTANTS}
    if unknown or not chosen:
        print(f"no such mutant: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="saga-mutants-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        if _run(copy, sorted({mutant.tests for mutant in chosen})) != 0:
            print("the tests fail before anything is planted", file=sys.stderr)
            return 1
        survivors = [mutant.name for mutant in chosen if not _is_caught(copy, mutant)]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants were caught")
    return 1 if survivors else 0


def _is_caught(copy: Path, mutant: Mutant) -> bool:
    path = copy / mutant.path
    sound = path.read_text(encoding="utf-8")
    if sound.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its text stands {sound.count(mutant.old)} times in {mutant.path}, not once")
    path.write_text(sound.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        # 1: tests ran and failed. Anything else, such as a file that does not load, proves nothing.
        caught = _run(copy, [mutant.tests]) == 1
    finally:
        path.write_text(sound, encoding="utf-8")
    print(f"{'caught  ' if caught else 'SURVIVED'}  {mutant.name}", flush=True)
    return caught


def _run(copy: Path, tests: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=LIMIT_S, check=False)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
