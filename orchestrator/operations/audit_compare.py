"""The comparison of the ledger with what the participants really did, order by order. No IO.

Whether anything was lost, doubled or left behind is read from the participants' own logs, never from their answers.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError, create_model

from orchestrator.identity import operation_key
from orchestrator.operations.audit_spool import Expected, Logged
from orchestrator.saga import Saga
from participants.contracts import personal_members
from participants.contracts.effects import Effect
from sql.auditing import FinishedOrder
from sql.models import TERMINAL, Direction, Json, Status

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OUR_KEY: Final = re.compile(rf"({_UUID.pattern}):[^:]+:(action|compensation)")

MEANINGS: Final[Mapping[str, str]] = {
    "effects_key_once": "this participant carried out an operation more than once",
    "effects_key_names_order": "this effect is booked on another order than its operation key names",
    "effects_undone_net_zero": "the order ended undone, yet something of it still stands at a participant",
    "effects_completed_stand": "the order is COMPLETED, yet what stands at a participant is not what its definition says",
    "effects_action_once": "the order is COMPLETED, yet a participant has not carried out this action of it",
    "effects_known_to_ledger": "a participant acted under a key of the ledger for an order that the ledger does not know",
}
"""What a row of each check means, by the name of the check."""

Finding = tuple[str, Json]
"""Name of the check, and the row."""


def expect(order: FinishedOrder, sagas: Mapping[tuple[str, int], Saga[Any]]) -> tuple[Expected, str | None]:
    """Return what must stand at the participants for a finished order.

    What was begun on an order acts on it: of a completed order there stands what its saga says and what each completed saga
    about it adds; of one that ended undone nothing does, whatever was begun on it.

    Args:
        order: The order.
        sagas: Definitions by name and version.

    Returns:
        What is expected, and why not all of it can be told; None when it can.
    """
    name, saga = str(order.order_ledger_id), sagas.get((order.saga, order.saga_version))
    if saga is not None and not saga.startable:
        return Expected(name, order.status, {}), None  # what it did counts for the order that it is about
    begun = [(child, sagas.get((child.saga, child.saga_version))) for child in order.begun]
    about = [(child, of) for child, of in begun if of is not None and not of.startable]
    if any(child.status not in TERMINAL for child, _ in about):
        return Expected(name, order.status, None), "what was begun on it has not ended"
    done = [(child, of) for child, of in about if child.status == Status.COMPLETED]
    open_accounts = {account for of in (saga, *(of for _, of in about)) if of is not None for account in of.open_accounts}
    unchecked = tuple(sorted(open_accounts))
    if order.status != Status.COMPLETED:
        actions = tuple(action for child, of in done if of.takes_back for action in _actions(child, of))
        return Expected(name, order.status, {}, actions, unchecked, order.family), None
    if saga is None or any(of is None for _, of in begun):
        return Expected(name, order.status, None), "no definition of its saga and version"
    stands: Counter[str] = Counter()
    standing: tuple[tuple[str, str], ...] = ()
    for each, of in ((order, saga), *done):
        actions = _actions(each, of)
        if of.stands is None:
            return Expected(name, order.status, None, standing + actions), "its saga does not say what stands"
        saga_input: type[BaseModel] = of.input
        try:
            start = _without_personal(saga_input).model_validate_json(orjson.dumps(each.input))
        except ValidationError:
            said = "its input is not what its saga takes"
            return Expected(name, order.status, None, standing + actions), said
        balances = of.stands(start)
        # Where nothing of the saga is ever accounted for, there is no effect to look for.
        accounted = {account.partition(".")[0] for account in (*balances, *of.open_accounts)}
        standing += tuple(action for action in actions if action[0] in accounted)
        stands.update(balances)
    return Expected(name, order.status, dict(stands), standing, unchecked, order.family), None


@cache
def _without_personal(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model of the same input in which nothing personal is asked for."""
    absent: dict[str, Any] = dict.fromkeys(personal_members(model), (Any, None))
    return create_model(model.__name__, __base__=model, **absent)


def logged(participant: str, effect: Effect, parents: Mapping[UUID, UUID]) -> Logged:
    """Return an effect with the order that it counts for.

    Args:
        participant: Who did it.
        effect: What it did.
        parents: Of the orders that its key may name: which others they are about.

    Returns:
        It counts for the order that its key names, where the key is the ledger's; or for the one that this order is about,
        where it is booked on that one.
    """
    key = _OUR_KEY.fullmatch(effect.operation_key)
    order = key[1] if key and not _is_of_parent(key[1], effect, parents) else effect.order_id
    return Logged(participant, effect.seq, effect.operation_key, order, key is not None, effect.kind, effect.amounts)


def check_key(participant: str, effect: Effect, parents: Mapping[UUID, UUID]) -> Iterator[Finding]:
    """Find an effect that is booked on another order than its key names, and not on the one that this order is about."""
    key = _OUR_KEY.fullmatch(effect.operation_key)
    if key and key[1] != effect.order_id and not _is_of_parent(key[1], effect, parents):
        yield (
            "effects_key_names_order",
            {
                "participant": participant,
                "seq": effect.seq,
                "operation_key": effect.operation_key,
                "order_id": effect.order_id,
            },
        )


def acting(effects: Sequence[Effect]) -> list[UUID]:
    """Return the orders whose keys stand on effects that are booked on another order."""
    keys = ((_OUR_KEY.fullmatch(effect.operation_key), effect.order_id) for effect in effects)
    return list({UUID(key[1]) for key, order in keys if key and key[1] != order})


def _is_of_parent(order: str, effect: Effect, parents: Mapping[UUID, UUID]) -> bool:
    return str(parents.get(UUID(order))) == effect.order_id


def order_id_of(effect: Logged) -> UUID | None:
    """Return the id under which the ledger may know an effect's order; None when it can't."""
    return UUID(effect.order) if _UUID.fullmatch(effect.order) else None


def check_doubled(effects: Sequence[Logged]) -> Iterator[Finding]:
    """Find operations that a participant carried out more than once; effects of one order."""
    # Others may give one key to an action and its undoing; ours have the direction in them.
    times = Counter((effect.participant, effect.key, "" if effect.ours else effect.kind) for effect in effects)
    for (participant, key, _), count in times.items():
        if count > 1:
            seqs = [effect.seq for effect in effects if (effect.participant, effect.key) == (participant, key)]
            yield "effects_key_once", {"participant": participant, "operation_key": key, "times": count, "seqs": seqs}


def check_order(order: Expected, effects: Sequence[Logged], read: frozenset[str]) -> Iterator[Finding]:
    """Find what stands for a finished order and must not, or must and does not.

    Args:
        order: What is expected.
        effects: All effects of it.
        read: Participants whose logs were read to the end; of others nothing is said.
    """
    about = {"order_ledger_id": order.order, "status": order.status}
    check = "effects_completed_stand" if order.status == Status.COMPLETED else "effects_undone_net_zero"
    for account, expected, found in differences(order, effects, read):
        yield check, {**about, "account": account, "expected": expected, "found": found}
    done = {(effect.participant, effect.key) for effect in effects}
    for participant, key in order.actions:
        if participant in read and (participant, key) not in done:
            yield "effects_action_once", {**about, "participant": participant, "operation_key": key}


def differences(order: Expected, effects: Sequence[Logged], read: frozenset[str]) -> Iterator[tuple[str, int, int]]:
    """Find accounts on which something else stands for a finished order than must: account, expected and found balance.

    Args:
        order: What is expected; nothing is found where that is not known.
        effects: All effects of it.
        read: Participants whose logs were read to the end; of others nothing is said.
    """
    if order.stands is None:
        return
    found = balances(effects)
    for account in sorted((found.keys() | order.stands.keys()) - set(order.unchecked)):
        if order.stands.get(account, 0) != found[account] and account.partition(".")[0] in read:
            yield account, order.stands.get(account, 0), found[account]


def balances(effects: Sequence[Logged]) -> Counter[str]:
    """Return what stands: the balance of each `participant.account`."""
    found: Counter[str] = Counter()
    for effect in effects:
        for account, amount in effect.amounts.items():
            found[f"{effect.participant}.{account}"] += amount
    return found


def check_unknown(effects: Sequence[Logged]) -> Iterator[Finding]:
    """Find effects under the ledger's own keys, of an order that the ledger does not know."""
    for effect in effects:
        if effect.ours:
            yield (
                "effects_known_to_ledger",
                {
                    "participant": effect.participant,
                    "seq": effect.seq,
                    "operation_key": effect.key,
                    "kind": effect.kind,
                    "amounts": effect.amounts,
                },
            )


def _actions(order: FinishedOrder, saga: Saga[Any]) -> tuple[tuple[str, str], ...]:
    """Return participant and key of every action that was done and has an effect: a GET has none."""
    return tuple(
        (step.action.participant, operation_key(order.order_ledger_id, step.name, Direction.ACTION))
        for step in saga.calls
        if step.action.method != "GET" and step.name in order.steps_done
    )
