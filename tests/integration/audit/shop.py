"""Orders with real journals: driven by the real core through the real store, with scripted or real answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from msgspec import structs

from orchestrator import cancelling, mending, operating
from orchestrator.definitions import Definitions, store_snapshot
from orchestrator.events import event_payload
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.participant import Caller, Tracing
from orchestrator.progress import Answered, Call, Lapsed, Move
from orchestrator.saga import Retry, Saga
from orchestrator.sagas.cancel_order import CANCEL_ORDER
from orchestrator.sagas.orders import Item, PlaceOrder
from orchestrator.sagas.place_order import PLACE_ORDER
from orchestrator.settings import Settings
from orchestrator.taking_back import back_of, write_with_parent
from orchestrator.work import Work
from sql import ledger
from sql.models import Entry, Event, Kind, Status

SAGA = replace(PLACE_ORDER, retry=Retry(first_s=30.0, factor=1.0, attempts_max=2))
ITEMS = (Item(sku="tea", quantity=2, unit_price_minor=250), Item(sku="cup", quantity=1, unit_price_minor=300))

Answering = Callable[[Work, Call], Awaitable[Outcome]]


def scripted(**answers: Outcome) -> Answering:
    """Answer by `STEP` or `STEP_undo`, with `_1`, `_2`, … for one attempt; everything else succeeds."""

    async def answer(_work: Work, call: Call) -> Outcome:
        name = call.step if call.direction == "action" else f"{call.step}_undo"
        outcome = answers.get(f"{name}_{call.attempt}", answers.get(name))
        return outcome or Succeeded({"step": call.step, "by": call.direction.value})

    return answer


def calling(caller: Caller) -> Answering:
    """Answer with what a real participant answers."""

    async def answer(work: Work, call: Call) -> Outcome:
        return await caller.call(work.prepared(call), Tracing("test"), 5.0)

    return answer


@dataclass
class Shop:
    """Places orders in a ledger and drives them, in place of edge and orchestrator.

    Attributes:
        conn: Autocommit connection to the ledger.
        answer: Answers of the participants.
    """

    conn: psycopg.AsyncConnection[Any]
    answer: Answering

    async def open(self) -> None:
        await store_snapshot(self.conn, SAGA)

    async def receive(self, key: str, answer: Answering | None = None, **order: Any) -> Work:
        """Do the edge's part: the row, the authorization, the frozen answer."""
        start = PlaceOrder(**{"customer_id": "17850", "currency": "GBP", "items": ITEMS, **order})
        id_ = order_id("client", key)
        opening = open_order(SAGA, Request(id_, "client", key, b"\0" * 32, start, {}, "test"), owner="edge-1", lease_s=30.0)
        assert await ledger.insert_order(self.conn, opening.order)
        assert opening.call
        outcome = await (answer or self.answer)(opening.work, opening.call)
        move = opening.work.advance(Answered(opening.call.step, outcome), go_on=False)
        written = opening.work.transition(move, replica="edge-1")
        code = 402 if written.status is Status.DECLINED else 202
        written = structs.replace(written, response_status=code, response_body=f'{{"order_ledger_id":"{id_}"}}')
        return opening.work.after(written, (await ledger.write_transitions(self.conn, [written]))[id_])

    async def claim(
        self, replica: str = "replica-1", lease_s: float = 30.0, saga: Saga[Any] = SAGA
    ) -> tuple[Work, Lapsed | None]:
        """Take the one order that is due."""
        claims = await ledger.claim_due(self.conn, owner=replica, lease_s=lease_s, limit=1, fingerprints=[saga.fingerprint])
        (claim,) = claims.claims
        work = Work.of(saga, claim.row)
        return work, Lapsed() if claim.lapsed or work.progress.on_its_way else None

    async def run(
        self,
        answer: Answering | None = None,
        replica: str = "replica-1",
        calls_max: int = 100,
        saga: Saga[Any] = SAGA,
    ) -> Work:
        """Claim the one order that is due, and work on it until it ends or waits, or so many calls were begun."""
        work, observation = await self.claim(replica, saga=saga)
        seen: Any = observation
        for _ in range(calls_max):
            move = work.advance(seen, go_on=True)
            transition = work.transition(move, replica=replica)
            back = back_of(work, transition)
            if back is None:
                written = await ledger.write_transitions(self.conn, [transition])
            else:
                written = await write_with_parent(self.conn, transition, back)
            if not written:  # somebody asked for something meanwhile: decide again, as the runner does
                rows = await ledger.get_rows(self.conn, [work.row.order_ledger_id])
                work = work.on(rows[work.row.order_ledger_id])
                continue
            work = work.after(transition, written[work.row.order_ledger_id])
            if not move.calls:
                return work
            call = move.calls[0]
            seen = Answered(call.step, await (answer or self.answer)(work, call), 1.5)
        return work

    async def put_aside(self, work: Work) -> None:
        """Make an order STUCK whose call is on its way, as the runner does when the code fails on it."""
        row = work.row
        aside = structs.replace(
            work.transition(Move(work.progress), replica="replica-1"),
            status=Status.STUCK,
            progress={**row.progress.to_json(), "stuck": "the code failed on it"},
            entries=(Entry(Kind.STATUS, outcome="STUCK", reason="the code failed on it"),),
            events=(Event("OrderStuck", event_payload(row, "STUCK")),),
        )
        assert await ledger.write_transitions(self.conn, [aside])

    async def place(self, key: str, answer: Answering | None = None, **order: Any) -> Work:
        """Take an order through edge and orchestrator."""
        work = await self.receive(key, answer, **order)
        return work if work.row.status is Status.DECLINED else await self.run(answer)

    async def retry_now(self) -> None:
        """Let every wait be over."""
        await self.conn.execute("update order_ledger set next_retry_at = null where next_retry_at is not null")


async def place_every_shape(shop: Shop) -> None:
    """Fill a ledger with orders in every shape that an order can have, each under the key that names its shape."""
    unclear, refused = Unknown("no answer in time"), Rejected("not possible")
    await shop.place("completed")
    await shop.place("completed_late", scripted(create_order_1=unclear))
    await shop.retry_now()
    await shop.run()
    await shop.place("declined", scripted(authorize_payment=refused))
    await shop.place("failed", scripted(reserve_inventory=refused))
    await shop.place("failed_at_confirm", scripted(confirm_order=unclear))
    await shop.retry_now()
    await shop.run(scripted(confirm_order=unclear))
    await shop.receive("declined_in_doubt", scripted(authorize_payment=unclear))
    await shop.retry_now()
    await shop.run(scripted(authorize_payment=refused))
    await shop.receive("taken_over")
    lost = await shop.run(replica="replica-2", calls_max=2)
    await ledger.release_leases(shop.conn, [(lost.row.order_ledger_id, lost.row.lease_epoch)])
    await shop.run(replica="replica-3")
    await place_every_shape_that_operators_give(shop)
    await shop.place("stuck", scripted(reserve_inventory=refused, create_order_undo=refused))
    await shop.place("waiting", scripted(create_order=unclear))


async def place_every_shape_that_operators_give(shop: Shop) -> None:
    unclear, refused = Unknown("no answer in time"), Rejected("not possible")
    definitions = Definitions([SAGA, CANCEL_ORDER], Settings())
    await definitions.register(shop.conn)

    async def cancel_during_capture(work: Work, call: Call) -> Outcome:
        if call.step == "capture_payment" and call.direction == "action":
            await operating.cancel(shop.conn, definitions, work.row.order_ledger_id, actor="ann", reason="asked by phone")
        return Succeeded({"step": call.step})

    waits = await shop.place("cancelled", scripted(create_order=unclear))
    await operating.cancel(shop.conn, definitions, waits.row.order_ledger_id, actor="ann", reason="asked by phone")
    await shop.retry_now()
    await shop.run()
    await shop.place("cancelled_at_work", cancel_during_capture)
    await take_back(shop, definitions)
    await place_every_shape_that_is_mended(shop, definitions)
    stuck = await shop.place("retried", scripted(reserve_inventory=refused, create_order_undo=refused))
    await operating.retry(shop.conn, definitions, stuck.row.order_ledger_id, actor="ann", reason="asked by phone")
    await shop.run()
    failed = await shop.place("placed_again", scripted(reserve_inventory=refused))
    await operating.retry(shop.conn, definitions, failed.row.order_ledger_id, actor="ann", reason="asked by phone")
    await shop.run()
    await shop.receive("retried_after_a_fault_of_the_code")
    await shop.put_aside(await shop.run(calls_max=2))
    await operating.retry(
        shop.conn, definitions, order_id("client", "retried_after_a_fault_of_the_code"), actor="ann", reason="asked by phone"
    )
    await shop.run()


async def take_back(shop: Shop, definitions: Definitions) -> None:
    id_ = str(order_id("client", "taken_back"))
    made = {"authorize_payment": {"authorization_id": "money"}, "reserve_inventory": {"order_id": id_}}
    placed = await shop.place("taken_back", scripted(**{step: Succeeded(answer) for step, answer in made.items()}))
    assert placed.row.status is Status.COMPLETED
    await cancelling.cancel(shop.conn, definitions, placed.row.order_ledger_id, actor="ann", reason="asked by phone")
    await shop.run(saga=definitions.named(CANCEL_ORDER.name))


async def place_every_shape_that_is_mended(shop: Shop, definitions: Definitions) -> None:
    unclear, refused = Unknown("no answer in time"), Rejected("not possible")
    why: Any = {"actor": "ann", "reason": "asked by phone"}

    async def pause_during_capture(work: Work, call: Call) -> Outcome:
        if call.step == "capture_payment":
            await mending.pause(shop.conn, definitions, work.row.order_ledger_id, **why)
        return Succeeded({"step": call.step})

    held = await shop.place("resumed", pause_during_capture)
    await mending.resume(shop.conn, definitions, held.row.order_ledger_id, **why)
    await shop.run()
    without = await shop.place("gone_on_without", scripted(create_order=unclear))
    await mending.skip_step(shop.conn, definitions, without.row.order_ledger_id, step="create_order", **why)
    await shop.run()
    standing = await shop.place("left_standing", scripted(reserve_inventory=refused, create_order_undo=refused))
    await mending.skip_step(shop.conn, definitions, standing.row.order_ledger_id, **why)
    stuck = await shop.place("completed_by_hand", scripted(reserve_inventory=refused, create_order_undo=refused))
    await mending.resolve(shop.conn, definitions, stuck.row.order_ledger_id, ending=Status.COMPLETED, **why)
    failed = await shop.place("failed_by_hand", scripted(confirm_order=unclear))
    await mending.pause(shop.conn, definitions, failed.row.order_ledger_id, **why)
    await mending.resolve(shop.conn, definitions, failed.row.order_ledger_id, ending=Status.FAILED, **why)
    await take_back_by_hand(shop, definitions, why)
    paused = await shop.place("paused", scripted(create_order=unclear))
    await mending.pause(shop.conn, definitions, paused.row.order_ledger_id, **why)


async def take_back_by_hand(shop: Shop, definitions: Definitions, why: Any) -> None:
    id_ = str(order_id("client", "taken_back_by_hand"))
    made = {"authorize_payment": {"authorization_id": "money"}, "reserve_inventory": {"order_id": id_}}
    placed = await shop.place("taken_back_by_hand", scripted(**{step: Succeeded(answer) for step, answer in made.items()}))
    begun = await cancelling.cancel(shop.conn, definitions, placed.row.order_ledger_id, **why)
    await mending.pause(shop.conn, definitions, begun.order_ledger_id, **why)
    await mending.resolve(shop.conn, definitions, begun.order_ledger_id, ending=Status.COMPLETED, **why)
