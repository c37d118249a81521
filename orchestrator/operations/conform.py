"""The conformance kit: whether a participant of anybody's does what its contract says."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import uuid4

from rich.console import Console

from orchestrator.credentials import authorization
from orchestrator.logs import configure_logs
from orchestrator.operations.audit_log import UNASKED, Asking
from orchestrator.operations.conform_case import Case, Failed, Subject
from orchestrator.operations.conform_checks import CHECKS, Check
from orchestrator.operations.conform_contracts import OPERATIONS, Contract, Operation
from orchestrator.operations.render import open_console, print_json, print_table
from orchestrator.outcome import Succeeded
from orchestrator.transport import Client, open_transport
from participants.contracts import inventory

CONNECTIONS_MAX: Final = 25
CHECK_TIMEOUT_S: Final = 60.0
RUN_TIMEOUT_S: Final = 300.0
STOCK: Final = 100_000


class ConformError(Exception):
    """The participant can't be tried at all; nothing is said of it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one check.

    Attributes:
        operation, check: Of what.
        passed: Whether the participant does what its contract says.
        seen: One sentence.
    """

    operation: str
    check: str
    passed: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Conformance:
    """What came of all checks.

    Attributes:
        contract, url: What was tried.
        results: In the order of the checks.
        requests: How many were sent.
        duration_s: How long it took.
        leaves: What stays behind at the participant, beside its fences and its log.
    """

    contract: Contract
    url: str
    results: tuple[Result, ...]
    requests: int
    duration_s: float
    leaves: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every check was made, and passed."""
        return bool(self.results) and all(result.passed for result in self.results)


async def conform(
    url: str,
    contract: Contract,
    *,
    only: Sequence[str] = (),
    timeout_s: float = 5.0,
    wait_s: float = 1.0,
    asking: Asking = UNASKED,
) -> Conformance:
    """Try a participant.

    Args:
        url: Its base address.
        contract: Which of the five.
        only: Operations to try; empty for all of the contract.
        timeout_s: Total seconds of one call.
        wait_s: Seconds before the repeat that comes later.
        asking: Where it may be, and what it wants to see.

    Raises:
        ConformError: It does not answer, or lacks what every check needs, or there is no such operation.
    """
    operations = _chosen(contract, only)
    clock = asyncio.get_running_loop().time
    started = clock()
    shown = authorization(asking.secrets.get(contract))
    async with open_transport(Client.AIOHTTP, connections_max=CONNECTIONS_MAX, reach=asking.reach) as transport:
        subject = Subject(transport, url.rstrip("/"), timeout_s, wait_s, shown)
        await _meet(subject, contract)
        results = []
        for operation in operations:
            for check in CHECKS:
                if not check.needs or getattr(operation, check.needs) is not None:
                    left_s = RUN_TIMEOUT_S - (clock() - started)
                    results.append(await _make(check, Case(subject, operation), min(CHECK_TIMEOUT_S, left_s)))
    product = (f"the product {subject.sku} with its stock",) if subject.sku else ()
    leaves = (*(operation.leaves for operation in operations), *product)
    return Conformance(contract, subject.url, tuple(results), subject.requests, clock() - started, leaves)


def show_conformance(
    url: str, contract: Contract, as_json: bool, *, only: Sequence[str], timeout_s: float, wait_s: float, asking: Asking
) -> int:
    """Try a participant and print what was seen; returns the exit code."""
    configure_logs("critical")  # what is wrong with an answer is in the report
    found = asyncio.run(conform(url, contract, only=only, timeout_s=timeout_s, wait_s=wait_s, asking=asking))
    if as_json:
        print_json(describe(found))
    else:
        render(found, open_console())
    return 0 if found.passed else 1


def describe(found: Conformance) -> dict[str, Any]:
    """Return what was found as JSON."""
    return {
        "contract": found.contract,
        "url": found.url,
        "passed": found.passed,
        "checks": [asdict(result) for result in found.results],
        "requests": found.requests,
        "duration_s": round(found.duration_s, 3),
        "leaves": found.leaves,
    }


def render(found: Conformance, console: Console) -> None:
    """Print what was found: a line a check, what it cost, what stays behind, the verdict."""
    rows = [("pass" if r.passed else "FAIL", r.operation, r.check, r.seen) for r in found.results]
    print_table(console, ("RESULT", "OPERATION", "CHECK", "SEEN"), rows)
    console.print(f"{found.requests} requests in {found.duration_s:.1f} s.", markup=False)
    console.print(f"Left behind: {'; '.join(found.leaves)}; fences and the log of effects.", markup=False)
    failed = sum(not result.passed for result in found.results)
    verdict = f"{failed} of {len(found.results)} checks failed." if failed else f"All {len(found.results)} checks passed."
    console.print(verdict, style="bold red" if failed else "bold green", markup=False)


def _chosen(contract: Contract, only: Sequence[str]) -> tuple[Operation, ...]:
    operations = OPERATIONS[contract]
    names = [operation.name for operation in operations]
    for name in only:
        if name not in names:
            raise ConformError(f"the contract {contract} has no operation {name!r}: choose from {', '.join(names)}")
    return tuple(operation for operation in operations if not only or operation.name in only)


async def _meet(subject: Subject, contract: Contract) -> None:
    """See that the participant is there, and give it what the trials need."""
    health = await subject.send("GET", "/healthz", {}, None)
    if isinstance(health, str):
        raise ConformError(f"{subject.url} can't be tried: {health}")
    if health.status != 200:
        raise ConformError(f"{subject.url} can't be tried: GET /healthz answered {health.status}")
    if contract == "inventory":
        product = inventory.AddProduct(sku=f"conform-{uuid4().hex[:12]}", name="conform", initial_stock=STOCK)
        added = await subject.call(inventory.add_product, product, f"conform:{product.sku}")
        if not isinstance(added.outcome, Succeeded):
            raise ConformError(f"{subject.url} can't be tried: a product could not be added: {added.told}")
        subject.sku = product.sku


async def _make(check: Check, case: Case, timeout_s: float) -> Result:
    operation = case.operation.name
    if timeout_s <= 0:
        return Result(operation, check.name, False, f"not made: the {RUN_TIMEOUT_S:g} s of the run were over")
    try:
        async with asyncio.timeout(timeout_s):
            await case.prepare()
            seen = await check.make(case)
        return Result(operation, check.name, True, seen)
    except Failed as failure:
        return Result(operation, check.name, False, str(failure))
    except TimeoutError:
        return Result(operation, check.name, False, f"not made within {timeout_s:.3g} s")
    finally:
        await _clean(case)


async def _clean(case: Case) -> None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await case.clean()
    except (Failed, TimeoutError):
        pass  # what can't be undone was told by the check
