"""`saga erase-customer`: nothing personal is kept of a customer, in the ledger and at the participants.

::

    each order that has ended  ─▶ its personal data go, its journal says so     (in batches, each whole)
    each participant           ─▶ POST /personal/erase with these orders

Orders that go on need an address to be delivered to, so theirs stay; it is said which, and the command may be repeated. So it
may after a crash: what was erased is found erased, and participants are asked again for everything.
"""

import asyncio
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID, uuid4

from rich.console import Console

from orchestrator.credentials import called_by, demand
from orchestrator.loading import registered
from orchestrator.logs import configure_logs
from orchestrator.operations.asking import Connection, connected
from orchestrator.operations.place import Place
from orchestrator.operations.render import open_console, print_json, progress_bar, say
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.participant import Caller, Tracing
from orchestrator.prepared import Prepared, prepare
from orchestrator.settings import load_settings
from orchestrator.transport import Client, open_transport
from participants.contracts.erasure import NOT_OFFERED, ORDERS_MAX, ErasePersonal, erasure_at
from sql import acts, erasure
from sql.erasure import CustomerOrder
from sql.ledger import LedgerError

PAGE_ORDERS: Final = 1_000
CALL_TIMEOUT_S: Final = 15.0
"""Of one call, which looks up hundreds of orders."""
PAUSES_S: Final = (1.0, 4.0)
"""Before each further attempt of a call."""
ACT: Final = "erase_customer"
SHOWN_MAX: Final = 20
"""Orders that are named to people; `--json` names all."""


class OfOthersToo(LedgerError):
    """Orders of one client only were to be erased, and participants can't tell whose customer is meant."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a participant answered.

    Attributes:
        participant: Its name.
        erased: Of how many things it erased something; None where that is not known.
        error: Why it is not known that nothing is left there; None where it is.
    """

    participant: str
    erased: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Erased:
    """What came of it.

    Attributes:
        customer_id: The customer.
        dry_run: Whether nothing was to be changed.
        orders: How many orders the ledger has of the customer.
        erased: Of how many of them personal data were erased; of a dry run, would be.
        unfinished: Those that have not ended, whose personal data stay.
        participants: What each participant answered; of a dry run, who would be asked.
    """

    customer_id: str
    dry_run: bool
    orders: int
    erased: int
    unfinished: tuple[UUID, ...]
    participants: tuple[Asked, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing personal is left anywhere."""
        return not self.dry_run and not self.unfinished and all(asked.error is None for asked in self.participants)


def erase_customer(
    place: Place,
    customer_id: str,
    *,
    client_id: str | None,
    actor: str,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Erase what is known of a customer, or tell what would be; print it.

    Args:
        place: The ledger, and whom to ask.
        customer_id: As the orders name the customer.
        client_id: Only orders of this client; None for those of every client.
        actor: Who asks.
        reason: Why.
        dry_run: Whether only to tell.
        as_json: Whether to print JSON.

    Returns:
        Exit code: 0 when nothing personal is left, or for a dry run; else 1.

    Raises:
        SettingsError: Participants can't be asked, for want of a secret; nothing was changed.
        OfOthersToo: Other clients have orders of the customer as well; nothing was changed.
    """
    configure_logs("critical")  # what went wrong is in what is printed
    settings = load_settings()
    sagas = registered(settings)
    demand(place.participant_secrets, called_by(sagas), settings)
    told = {
        endpoint.participant
        for saga in sagas
        for step in saga.calls
        for endpoint in step.endpoints
        if endpoint.tells_of_a_person
    }
    eraser = _Eraser(place, settings.http_client, told, customer_id, client_id, actor, reason)
    found = asyncio.run(eraser.run(dry_run=dry_run, quiet=as_json))
    if as_json:
        print_json({**asdict(found), "complete": found.complete})
    else:
        _print(open_console(), found)
    return 0 if found.complete or dry_run else 1


@dataclass(frozen=True, slots=True)
class _Eraser:
    place: Place
    http_client: Client
    told: Collection[str]
    customer_id: str
    client_id: str | None
    actor: str
    reason: str

    async def run(self, *, dry_run: bool, quiet: bool) -> Erased:
        async with connected(self.place.database_url) as conn:
            if self.client_id and await erasure.is_of_others(conn, customer_id=self.customer_id, client_id=self.client_id):
                raise OfOthersToo(
                    f"other clients than {self.client_id} have orders of a customer {self.customer_id}, and participants know"
                    " no more than that id: erase without --client, or not at all; nothing was changed"
                )
            orders = await self._orders(conn)
            ended = [order for order in orders if order.has_ended]
            known = [order.order_ledger_id for order in ended if order.is_personal]
            unfinished = tuple(order.order_ledger_id for order in orders if not order.has_ended)
            if dry_run:
                asked = tuple(Asked(name) for name in sorted(self.place.participants))
                return Erased(self.customer_id, True, len(orders), len(known), unfinished, asked)
            erased = await self._erase(conn, known, quiet=quiet)
            answers = await self._ask_all([str(order.order_ledger_id) for order in ended])
            found = Erased(self.customer_id, False, len(orders), erased, unfinished, answers)
            details = {"client_id": self.client_id, "orders": erased, "complete": found.complete}
            await acts.insert_act(conn, ACT, self.customer_id, actor=self.actor, reason=self.reason, details=details)
        return found

    async def _orders(self, conn: Connection) -> list[CustomerOrder]:
        orders: list[CustomerOrder] = []
        while True:
            after = orders[-1].order_ledger_id if orders else None
            page = await erasure.page_customer_orders(
                conn, customer_id=self.customer_id, client_id=self.client_id, after=after, limit=PAGE_ORDERS
            )
            orders += page
            if len(page) < PAGE_ORDERS:
                return orders

    async def _erase(self, conn: Connection, known: list[UUID], *, quiet: bool) -> int:
        erased = 0
        with progress_bar(quiet=quiet) as bar:
            shown = bar.add_task("erasing", total=len(known))
            for start in range(0, len(known), ORDERS_MAX):
                batch = known[start : start + ORDERS_MAX]
                erased += len(await erasure.erase_orders(conn, batch, actor=self.actor, reason=self.reason))
                bar.advance(shown, len(batch))
        return erased

    async def _ask_all(self, order_ids: list[str]) -> tuple[Asked, ...]:
        place, connections_max = self.place, len(self.place.participants) + 1
        async with open_transport(self.http_client, connections_max=connections_max, reach=place.reach) as transport:
            caller = Caller(transport, place.participants, place.participant_secrets)
            asked = [self._ask(caller, name, order_ids) for name in sorted(place.participants)]
            return tuple(await asyncio.gather(*asked))

    async def _ask(self, caller: Caller, name: str, order_ids: list[str]) -> Asked:
        """Ask a participant for all orders; one that offers no erasing has none to do where no saga tells it of anybody."""
        erased = 0
        batches = [order_ids[start : start + ORDERS_MAX] for start in range(0, len(order_ids), ORDERS_MAX)]
        for batch in batches or [[]]:  # a customer without orders may be known all the same
            request = ErasePersonal(customer_id=self.customer_id, order_ids=tuple(batch))
            # A key of its own each time: what came after an earlier run is to be erased as well.
            prepared = prepare(erasure_at(name), request, f"erase:{uuid4()}")
            outcome = await _called(caller, prepared)
            if isinstance(outcome, Rejected) and outcome.reason.endswith(NOT_OFFERED) and name not in self.told:
                return Asked(name, 0)
            if not isinstance(outcome, Succeeded):
                return Asked(name, error=outcome.reason)
            erased += outcome.result["erased"]
        return Asked(name, erased)


async def _called(caller: Caller, prepared: Prepared) -> Outcome:
    """Call until the answer is clear, or the attempts are used up."""
    outcome = await caller.call(prepared, Tracing(prepared.key), CALL_TIMEOUT_S)
    for pause_s in PAUSES_S:
        if not isinstance(outcome, Unknown):
            break
        await asyncio.sleep(pause_s)
        outcome = await caller.call(prepared, Tracing(prepared.key), CALL_TIMEOUT_S)
    return outcome


def _print(console: Console, found: Erased) -> None:
    orders = f"{found.erased:,} of {found.orders:,} order{'s' * (found.orders != 1)} of customer {found.customer_id}"
    if found.dry_run:
        say(console, f"personal data of {orders} would be erased, and these would be asked to erase theirs:")
    else:
        say(console, f"personal data of {orders} were erased; each order's journal says so")
    for asked in found.participants:
        told = asked.error or (
            "" if asked.erased is None else f"erased in {asked.erased:,}" if asked.erased else "nothing left"
        )
        say(console, f"  {asked.participant}{': ' * bool(told)}{told}")
    for order in found.unfinished[:SHOWN_MAX]:
        say(console, f"order {order} has not ended and needs its personal data: let it end, then erase once more")
    if len(found.unfinished) > SHOWN_MAX:
        say(console, f"and {len(found.unfinished) - SHOWN_MAX:,} more that have not ended")
    if found.dry_run:
        console.print("nothing was changed")
    elif not found.complete:
        say(console, "not everything is erased: repeat this command when that is put right")
