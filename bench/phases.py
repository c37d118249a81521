"""The phases of `checkout_tcc` while many pay at once, by the journal: from a phase's first intent to its last outcome."""

import asyncio
from typing import Any, Final

import psycopg

from bench.named import Sizes
from bench.stack import percentile, place, running_stack

SAGA: Final = "checkout_tcc"
PRODUCTS: Final = 20
"""Five payments at once of each. Of one product alone they wait in line for its row of the stock, which is measured too."""
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
    with running_stack() as stack, psycopg.connect(stack["database_url"], autocommit=True) as conn:
        asyncio.run(place(stack, clients=8, orders=40, saga=SAGA))
        many = _at_once(stack, conn, sizes, PRODUCTS)
        one = _at_once(stack, conn, sizes, 1)
    return {"clients": sizes.clients, "products": PRODUCTS, **many, "of_one_product": one}


def _at_once(stack: dict[str, Any], conn: psycopg.Connection[Any], sizes: Sizes, products: int) -> dict[str, Any]:
    now = conn.execute("select clock_timestamp()").fetchone()
    assert now is not None
    pay = {"clients": sizes.clients, "orders": sizes.clients, "saga": SAGA, "products": products}
    loads = [asyncio.run(place(stack, **pay)) for _ in range(sizes.rounds)]
    took = conn.execute(_PHASES, {"saga": SAGA, "since": now[0]}).fetchall()
    found: dict[str, Any] = {"errors": sum(load.errors for load in loads)}
    for phase in ("try", "confirm"):
        seconds = [took_s for of, took_s in took if of == phase]
        found |= {f"{phase}_p50_s": percentile(seconds, 50), f"{phase}_p95_s": percentile(seconds, 95)}
    return found
