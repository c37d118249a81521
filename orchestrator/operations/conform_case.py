"""One trial of one operation: its calls to the participant, and what the participant's own log says of them."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import orjson
from pydantic import BaseModel, ValidationError

from orchestrator.operations.conform_contracts import Names, Operation
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.participant import read_answer
from orchestrator.transport import Reply, Transport, TransportError
from participants.contracts import Endpoint, OperationRef, probe_of
from participants.contracts.effects import Effect, EffectPage

PAGES_MAX: Final = 20
IN_PROGRESS_MAX: Final = 50
IN_PROGRESS_POLL_S: Final = 0.1
JSON: Final = "application/json"


class Failed(Exception):
    """The participant does not do what its contract says; the sentence tells what was seen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer, and what the orchestrator makes of it.

    Attributes:
        status: None when no answer came.
        body: As it came.
        outcome: By the orchestrator's own table.
    """

    status: int | None
    body: bytes
    outcome: Outcome

    @property
    def told(self) -> str:
        """What was seen, for a sentence."""
        if isinstance(self.outcome, Succeeded):
            return f"answered {self.status}"
        return self.outcome.reason

    @property
    def is_client_error(self) -> bool:
        """Whether it is a refusal of a wrong request."""
        return self.status is not None and 400 <= self.status < 500


@dataclass
class Subject:
    """The participant under trial.

    Attributes:
        transport: Sends requests.
        url: Base address.
        timeout_s: Total seconds of one call.
        wait_s: Seconds before a repeat that comes later.
        shown: Headers that it wants to see of every caller.
        sku: A product of which there is plenty; empty where the contract has none.
        requests: How many were sent.
    """

    transport: Transport
    url: str
    timeout_s: float
    wait_s: float
    shown: Mapping[str, str] = field(default_factory=dict, repr=False)
    sku: str = ""
    requests: int = 0

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Reply | str:
        """Send a request; a sentence when no whole answer came."""
        self.requests += 1
        try:
            return await self.transport.exchange(method, self.url + path, {**self.shown, **headers}, body, self.timeout_s)
        except TimeoutError:
            return f"no answer came within {self.timeout_s:g} s"
        except (TransportError, ValueError) as error:
            return f"no answer came: {error}"

    async def call(self, endpoint: Endpoint[Any, Any], request: BaseModel, key: str, body: bytes | None = None) -> Seen:
        """Make a call as the orchestrator makes it, again while the participant says that the first is still at work.

        Args:
            endpoint: What to do.
            request: Its request, which the answer must repeat.
            key: Idempotency key.
            body: Sent in place of the request's own layout.
        """
        members = endpoint.body(request)
        headers = {"Idempotency-Key": key} if endpoint.method != "GET" else {}
        if members is not None:
            headers["Content-Type"] = JSON
            body = body or orjson.dumps(members)
        for _ in range(IN_PROGRESS_MAX):
            reply = await self.send(endpoint.method, endpoint.url_path(request), headers, body)
            if isinstance(reply, str):
                return Seen(None, b"", Unknown(reply))
            if reply.body is None:
                return Seen(reply.status, b"", Unknown(f"answered {reply.status} with too long a body"))
            seen = Seen(reply.status, reply.body, read_answer(endpoint, request.model_dump(mode="json"), reply))
            if not (reply.status == 409 and isinstance(seen.outcome, Unknown)):
                return seen
            await asyncio.sleep(IN_PROGRESS_POLL_S)
        raise Failed(f"still says 409 in-progress after {IN_PROGRESS_MAX * IN_PROGRESS_POLL_S:g} s")

    async def effects(self, order_id: str) -> list[Effect]:
        """Read the log of what was really done for an order.

        Raises:
            Failed: It can't be read.
        """
        found: list[Effect] = []
        after = 0
        for _ in range(PAGES_MAX):
            reply = await self.send("GET", f"/effects?after={after}&order_id={quote(order_id)}", {}, None)
            if isinstance(reply, str):
                raise Failed(f"GET /effects can't be read: {reply}")
            if reply.status != 200 or reply.body is None:
                long = " with too long a body" if reply.body is None else ""
                raise Failed(f"GET /effects can't be read: answered {reply.status}{long}")
            try:
                page = EffectPage.model_validate_json(reply.body)
            except ValidationError:
                raise Failed("GET /effects answers another shape") from None
            found += (effect for effect in page.effects if effect.order_id == order_id)
            if page.next_after is None:
                return found
            after = page.next_after
        raise Failed(f"GET /effects has more than {PAGES_MAX} pages for one order")


@dataclass
class Case:
    """An operation with names and keys of its own.

    Attributes:
        subject: The participant.
        operation: What is tried.
        names: Fresh.
    """

    subject: Subject
    operation: Operation
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        self.names = Names(str(uuid4()), str(uuid4()), self.subject.sku)
        self.request = self.operation.request(self.names, 1)

    def key(self, verb: str) -> str:
        """Return the key of an operation: no key of the ledger's form, or an audit would look for the order."""
        return f"conform:{self.names.order_id}:{self.operation.name}:{verb}"

    async def act(self, request: BaseModel | None = None) -> Seen:
        """Do the action; another request is for the same key."""
        return await self.subject.call(self.operation.action, request or self.request, self.key("action"))

    async def undo(self, verb: str = "compensation") -> Seen:
        """Undo it, with the request of the action; a verb makes another key."""
        assert self.operation.undo is not None
        return await self.subject.call(self.operation.undo, self.request, self.key(verb))

    async def confirm(self) -> Seen:
        """Make it stand."""
        assert self.operation.confirm is not None
        return await self.subject.call(self.operation.confirm, self.request, self.key("confirmation"))

    async def probe(self) -> Seen:
        """Ask whether the action was done."""
        probe = probe_of(self.operation.action)
        return await self.subject.call(probe, OperationRef(operation_key=self.key("action")), "")

    async def prepare(self) -> None:
        """Do what must have been done before.

        Raises:
            Failed: It could not be done.
        """
        if self.operation.after is not None:
            before = Case(self.subject, self.operation.after)
            before.names, before.request = self.names, self.operation.after.request(self.names, 1)
            expect_done(await before.act(), f"{self.operation.after.name}, which comes before it,")

    async def clean(self) -> None:
        """Undo whatever a check left standing, as far as the participant lets it."""
        if self.operation.undo is not None:
            await self.undo()
        if self.operation.after is not None and self.operation.after.undo is not None:
            request = self.operation.after.request(self.names, 1)
            await self.subject.call(self.operation.after.undo, request, self.key("cleaning"))

    async def effects(self) -> list[Effect]:
        """Read what was really done for the case's order."""
        return await self.subject.effects(self.names.order_id)

    async def standing(self) -> dict[str, int]:
        """Return the accounts that the action or its confirm added to, with what is left in them; empty when undone."""
        balances: Counter[str] = Counter()
        raised: set[str] = set()
        for effect in await self.effects():
            balances.update(effect.amounts)
            if effect.operation_key in (self.key("action"), self.key("confirmation")):
                raised |= {account for account, amount in effect.amounts.items() if amount > 0}
        return {account: balances[account] for account in sorted(raised) if balances[account]}

    async def expect_times(self, verb: str, times: int) -> None:
        """Raise Failed unless the log has so many effects under a key of the case."""
        found = sum(effect.operation_key == self.key(verb) for effect in await self.effects())
        if found != times:
            raise Failed(f"the log has {found} effects under the key of the {verb}, not {times}")

    async def expect_nothing_done(self) -> None:
        """Raise Failed when the log has an effect of the action or of its undo."""
        for verb in ("action", "compensation"):
            await self.expect_times(verb, 0)

    async def expect_undone(self) -> None:
        """Raise Failed when something still stands."""
        if standing := await self.standing():
            left = ", ".join(f"{account} {amount}" for account, amount in standing.items())
            raise Failed(f"undone, yet this stands: {left}")


def expect_done(seen: Seen, what: str) -> None:
    """Raise Failed unless an answer is a success of the agreed shape that repeats what was asked."""
    if not isinstance(seen.outcome, Succeeded):
        raise Failed(f"{what} was not done: {seen.told}")


def expect_refused(seen: Seen, what: str) -> None:
    """Raise Failed unless an answer says that nothing was done and never will be."""
    if not isinstance(seen.outcome, Rejected):
        raise Failed(f"{what} was not refused: {seen.told}")


def expect_same(seen: Seen, first: Seen, what: str) -> None:
    """Raise Failed unless an answer is the first one again, byte for byte."""
    if (seen.status, seen.body) != (first.status, first.body):
        raise Failed(f"{what} was answered otherwise than the first: {seen.told}")
