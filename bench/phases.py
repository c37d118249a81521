"""The phases of `checkout_tcc` while many pay at once, by the journal: from a phase's first intent to its last outcome."""

import asyncio
import statistics
from typing import Any, Final

import psycopg

from bench.named import Sizes
from bench.stack import percentile, place, running_stack

SAGA: Final = "checkout_tcc"
_PHASES: Final = """
select s.body ->> 'group',
    extract(epoch from max(j.at) filter (where j.kind = 'outcome') - min(j.at) filter (where j.kind = 'intent'))::float8
from order_ledger l
    join saga_definition d using (definition_id)
    cross join lateral jsonb_array_elements(d.body -> 'steps') as s (body)
    join ledger_journal j on j.order_ledger_id = l.order_ledger_id and j.step = s.body ->> 'name' and j.direction = 'action'
where l.saga = %(saga)s and l.status = 'COMPLETED' and l.created_at > %(since)s
group by l.order_ledger_id, s.body ->> 'group'
"""


def phases(sizes: Sizes) -> dict[str, Any]:
    """Seconds of try and of confirm with many payments at once, through edge and real participants, over all rounds."""
    seconds: dict[str, list[float]] = {"try": [], "confirm": []}
    with running_stack() as stack, psycopg.connect(stack["database_url"], autocommit=True) as conn:
        asyncio.run(place(stack, clients=8, orders=40, saga=SAGA))
        warm = conn.execute("select clock_timestamp()").fetchone()
        assert warm is not None
        loads = [asyncio.run(place(stack, clients=sizes.clients, orders=sizes.clients, saga=SAGA)) for _ in range(sizes.rounds)]
        for phase, took_s in conn.execute(_PHASES, {"saga": SAGA, "since": warm[0]}).fetchall():
            seconds[phase].append(took_s)
    return {
        "clients": sizes.clients,
        "payments": len(seconds["confirm"]),
        "errors": sum(load.errors for load in loads),
        **{f"{phase}_p50_s": statistics.median(times) for phase, times in seconds.items()},
        **{f"{phase}_p95_s": percentile(times, 95) for phase, times in seconds.items()},
    }
