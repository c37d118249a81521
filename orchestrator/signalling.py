"""The answer from outside that an order waits for, or will wait for.

What it says of a person is kept apart from the rest of it, as that of the order's input is.
"""

from typing import Any
from uuid import UUID

from orchestrator.definitions import Definitions
from orchestrator.operating import CANCELLABLE, apply
from orchestrator.progress import Observation, Progress, Signalled, StepState
from orchestrator.saga import Saga, Signal
from orchestrator.verdict import Verdict
from participants.contracts import personal_of, without_personal
from sql import ledger
from sql.ledger import LedgerError
from sql.models import Json, SagaRow


class NoSuchSignal(LedgerError):
    """The order's saga has no step of this name that waits for an answer; nothing was changed."""


class NotAwaited(LedgerError):
    """The order waits for no such answer any more, or has another one; nothing was changed."""


async def signal(
    conn: ledger.Connection, definitions: Definitions, order_ledger_id: UUID, name: str, payload: Json, *, actor: str
) -> Verdict:
    """Give a step the answer from outside that it waits for, or will wait for. The same answer twice is one.

    Args:
        conn: Autocommit connection to the ledger.
        definitions: What this process knows.
        order_ledger_id: The order.
        name: Name of the step.
        payload: The answer, a JSON object.
        actor: Who answers.

    Raises:
        OrderNotFound: There is no such order.
        NoSuchSignal: Its saga waits for nothing of this name.
        pydantic.ValidationError: The answer is not what the step waits for.
        NotAwaited: Another answer has come before, or the order does not go forward any more.
        Busy: It changed too often meanwhile.
    """

    def decide(row: SagaRow, saga: Saga[Any]) -> Observation | None:
        model = signal_of(saga, name).payload
        answer = model.model_validate(payload).model_dump(mode="json")
        said, personal = without_personal(model, answer), personal_of(model, answer)
        progress = Progress.from_json(row.progress)
        if name in progress.signals:
            # What it said of a person may have been erased since.
            if row.results.get(name) != said or row.personal_results.get(name, personal) != personal:
                raise NotAwaited(f"order {order_ledger_id} has another answer for {name}")
            return None
        if row.status not in CANCELLABLE or progress.of(name).state not in (StepState.PENDING, StepState.RUNNING):
            raise NotAwaited(f"order {order_ledger_id} is {row.status} and waits for no answer for {name}")
        return Signalled(name, said, actor, personal)

    return await apply(conn, definitions, order_ledger_id, decide, actor=actor, dry_run=False)


def signal_of(saga: Saga[Any], name: str) -> Signal[Any]:
    """Return the step that waits for an answer of this name.

    Raises:
        NoSuchSignal: The saga has none.
    """
    step = next((step for step in saga.steps if step.name == name), None)
    if not isinstance(step, Signal):
        raise NoSuchSignal(f"saga {saga.name} waits for no signal {name}")
    return step
