"""What wakes a fleet: each replica tells it in the name of the session that listens, where whoever asks the server can read it.

A replica at rest writes nothing and asks little, so there is no table of such counts; a session's name costs one statement, is
told beside the listener's proof of itself when it has changed, and ends with its session.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

LISTENER: Final = "saga listener"
REPLICA: Final = "saga orchestrator "
BY: Final = ("notify", "poll", "timer")
"""What a look for work was brought about by: a notification, the interval, an order that fell due."""
_TOLD: Final = re.compile(r"\b([a-z]+)=(\d+)")


def session_name(claims: Mapping[str, int]) -> str:
    """Return the name of a session that listens.

    Args:
        claims: Orders that the replica has claimed since it started, by what woke it.
    """
    # The server keeps 63 bytes, which is room for hundreds of millions of orders of each.
    return " ".join([LISTENER, *(f"{by}={claims[by]}" for by in BY if claims.get(by))])


def summed(sessions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what sessions of orchestrators tell of the fleet.

    Args:
        sessions: Rows of `sql.fleet.list_orchestrators`.

    Returns:
        `replicas` (their names), `listeners` (`age_s`: how long each has listened) and `claims` (by what woke the replicas that
        listen, since they did).
    """
    rows = list(sessions)
    listening = [row for row in rows if row["application_name"].startswith(LISTENER)]
    claims = dict.fromkeys(BY, 0)
    for row in listening:
        for by, orders in _TOLD.findall(row["application_name"]):
            if by in claims:
                claims[by] += int(orders)
    return {
        "replicas": [
            row["application_name"].removeprefix(REPLICA) for row in rows if row["application_name"].startswith(REPLICA)
        ],
        "listeners": [{"age_s": row["age_s"]} for row in listening],
        "claims": claims,
    }
