"""What is simulated: a saga with its input, and what its steps do to the accounts at their participants."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel

from orchestrator.saga import Retry, Saga, StepKind
from orchestrator.sagas.orders import Item, PlaceOrder
from orchestrator.sagas.place_order import PLACE_ORDER
from tests.unit.core.sagas import PROBE, Nothing, saga, step


@dataclass(frozen=True)
class Action:
    """What an action does at its participant.

    Attributes:
        posts: Account to change of its balance; amounts are counted in ones.
        needs: Account that must not be empty, or the action is refused; None for none.
    """

    posts: dict[str, int]
    needs: str | None = None


@dataclass(frozen=True)
class Compensation:
    """What a compensation does at its participant.

    Attributes:
        subjects: Steps whose actions must not happen any more.
        empties: Accounts that it brings to zero.
        barred_by: Account that must be empty, or the compensation is refused; None for none.
    """

    subjects: tuple[str, ...]
    empties: tuple[str, ...]
    barred_by: str | None = None


@dataclass(frozen=True)
class Scene:
    """A saga, its input and its participants.

    Attributes:
        name: For people.
        saga: The definition that is run.
        order: Its input.
        actions, compensations: By step.
        stands: What a completed order leaves: account to balance.
        lasting: Accounts that nothing undoes.
    """

    name: str
    saga: Saga[Any]
    order: BaseModel
    actions: dict[str, Action]
    compensations: dict[str, Compensation]
    stands: dict[str, int]
    lasting: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def accounts(self) -> dict[str, int]:
        """Every account, at zero."""
        return dict.fromkeys((account for action in self.actions.values() for account in action.posts), 0)

    @cached_property
    def place_of(self) -> dict[str, int]:
        """Each step's place in the order of the steps."""
        return {step.name: place for place, step in enumerate(self.saga.steps)}

    @cached_property
    def undoing(self) -> dict[str, str | None]:
        """Which step's compensation undoes a step; None where nothing has to."""
        return {step.name: step.name if step.compensation else step.undone_by for step in self.saga.steps}

    @cached_property
    def attempts_max(self) -> dict[str, int]:
        """Attempts of a step in one direction and round that may end by themselves, a probe not counted."""
        return {step.name: self.saga.retry_of(step).attempts_max for step in self.saga.steps}

    @cached_property
    def probed(self) -> frozenset[str]:
        """Steps that are probed before they are undone."""
        return frozenset(step.name for step in self.saga.steps if step.probe is not None)


def _simple(name: str, definition: Saga[Any]) -> Scene:
    """Return a scene in which every step has an account of its own."""
    steps = definition.steps
    covered = {step.name: tuple(s.name for s in steps if step.name in (s.name, s.undone_by)) for step in steps}
    return Scene(
        name=name,
        saga=definition,
        order=Nothing(),
        actions={step.name: Action({step.name: 1}, needs=step.undone_by) for step in steps},
        compensations={
            step.name: Compensation(covered[step.name], covered[step.name]) for step in steps if step.compensation is not None
        },
        stands={step.name: 1 for step in steps},
        lasting=frozenset(step.name for step in steps if step.compensation is None and step.undone_by is None),
    )


def _until(deadline_s: float, definition: Saga[Any]) -> Saga[Any]:
    """Return a definition with a deadline."""
    return replace(definition, deadline_s=deadline_s)


def _place_order() -> Scene:
    order = PlaceOrder(customer_id="c", currency="EUR", items=(Item(sku="a", quantity=1, unit_price_minor=1),))
    assert PLACE_ORDER.stands is not None
    return Scene(
        name="place_order",
        saga=_until(120.0, replace(PLACE_ORDER, retry=Retry(attempts_max=2))),
        order=order,
        actions={
            "authorize_payment": Action({"payments.authorized": 1}),
            "create_order": Action({"orders.created": 1}),
            "reserve_inventory": Action({"inventory.reserved": 1}),
            "capture_payment": Action({"payments.authorized": -1, "payments.captured": 1}, needs="payments.authorized"),
            "confirm_order": Action({"orders.confirmed": 1}, needs="orders.created"),
        },
        compensations={
            "authorize_payment": Compensation(("authorize_payment",), ("payments.authorized",), "payments.captured"),
            "create_order": Compensation(("create_order", "confirm_order"), ("orders.created", "orders.confirmed")),
            "reserve_inventory": Compensation(("reserve_inventory",), ("inventory.reserved",)),
            "capture_payment": Compensation(("capture_payment",), ("payments.captured",)),
        },
        stands=dict(PLACE_ORDER.stands(order)),
    )


SCENES: Final = (
    _simple("one step", saga(step("only"), attempts_max=1)),
    _simple("two steps", saga(step("first"), step("second"), attempts_max=2)),
    _simple("that does not wait", saga(step("first"), step("second", when_open="fail"), attempts_max=2)),
    _simple("three steps", _until(200.0, saga(step("first"), step("second"), step("third"), attempts_max=3))),
    _simple("tried at the edge", saga(step("pay", at_edge=True, declines=True), step("send"), attempts_max=2)),
    _simple(
        "undone by another",
        saga(step("pay", at_edge=True, declines=True), step("create"), step("confirm", undone_by="create"), attempts_max=2),
    ),
    _simple(
        "with a step for good",
        saga(step("first"), step("tell", compensation=None, kind=StepKind.READ_ONLY), step("last"), attempts_max=2),
    ),
    _simple("probed", _until(90.0, saga(step("first"), step("second", probe=PROBE), attempts_max=1))),
    _simple(
        "probed and undone by another",
        saga(step("create", probe=PROBE), step("pay", probe=PROBE), step("confirm", undone_by="create"), attempts_max=2),
    ),
    _simple("declined later", saga(step("first"), step("pay", declines=True, retry=Retry(attempts_max=1)), attempts_max=2)),
    _place_order(),
)
