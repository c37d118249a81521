"""A short chaos run, whose script surely does what the long one (`make chaos`) leaves to chance."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.chaos.faults import Odds
from tests.chaos.run import ChaosPlan, run_chaos
from tests.chaos.schedule import Deed

pytestmark = pytest.mark.acceptance

ROUNDS = (
    (Deed.FREEZE_REPLICA,),
    (Deed.LOSE_COMMITS, Deed.FLAP_PARTICIPANT, Deed.KILL_EDGE),
    (Deed.RESTART_IMMEDIATE,),
    (Deed.END_LISTENERS, Deed.KILL_REPLICA),
    (Deed.KILL_PARTICIPANT, Deed.STALL_SQL),
    (Deed.KILL_POSTMASTER, Deed.DEGRADE_SQL),
    (Deed.RESTART_FAST, Deed.HALF_CLOSE_SQL, Deed.CUT_SQL),
)
PLAN = ChaosPlan(seed=1, orders=80, rounds=ROUNDS, replicas=2, odds=Odds(doom=0.15), haste=0.1, attempts=3)


async def test_nothing_is_lost_or_doubled_while_processes_networks_and_the_database_fail() -> None:
    # Not in pytest's own folder: another session of the same user closes that to the server's account.
    folder = Path(tempfile.mkdtemp(prefix="saga-chaos-"))

    report = await run_chaos(PLAN, folder, print)

    assert [violation.what for violation in report.violations] == []
    assert report.missing == []
    assert sum(report.statuses.values()) >= PLAN.orders * 0.9  # but for those whose client gave up
    shutil.rmtree(folder, ignore_errors=True)  # a run that failed leaves its data, logs and calls
