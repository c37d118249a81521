"""What goes wrong, or is asked for, at a moment of chance. Each act tells whether it could happen."""

from collections.abc import Callable
from typing import Final

from tests.simulation.people import repeat
from tests.simulation.phases import Mode, Phase
from tests.simulation.replica import Replica
from tests.simulation.world import World


def crash(world: World) -> bool:
    """Kill a replica."""
    replica = _some(world, lambda replica: replica.mode is not Mode.DOWN)
    if replica is None:
        return False
    world.note("%s is killed %s", replica.name, replica.phase.words)
    world.crash(replica)
    return True


def restart(world: World) -> bool:
    """Start a replica that is down."""
    replica = _some(world, lambda replica: replica.mode is Mode.DOWN)
    if replica is None:
        return False
    world.note("%s starts", replica.name)
    replica.mode = Mode.UP
    return True


def freeze(world: World) -> bool:
    """Stop a replica where it stands (SIGSTOP)."""
    replica = _some(world, lambda replica: replica.mode is Mode.UP)
    if replica is None:
        return False
    world.note("%s freezes %s", replica.name, replica.phase.words)
    replica.mode = Mode.FROZEN
    world.causes.add("lapses")
    return True


def thaw(world: World) -> bool:
    """Have a frozen replica go on (SIGCONT)."""
    replica = _some(world, lambda replica: replica.mode is Mode.FROZEN)
    if replica is None:
        return False
    world.note("%s thaws %s", replica.name, replica.phase.words)
    replica.mode = Mode.UP
    return True


def cut(world: World) -> bool:
    """Cut a replica off from the ledger."""
    replica = _some(world, lambda replica: replica.mode is not Mode.DOWN and not replica.cut)
    if replica is None:
        return False
    world.note("%s is cut off from the ledger %s", replica.name, replica.phase.words)
    replica.cut = True
    world.causes.add("lapses")
    return True


def mend(world: World) -> bool:
    """Connect a replica with the ledger again."""
    replica = _some(world, lambda replica: replica.cut)
    if replica is None:
        return False
    world.note("%s reaches the ledger again", replica.name)
    replica.cut = False
    return True


def terminate(world: World) -> bool:
    """Ask a replica to stop (SIGTERM); one that was asked before is out of time and gives back what it holds."""
    replica = _some(world, lambda replica: replica.mode is Mode.UP)
    if replica is None:
        return False
    if replica.stopping:
        _leave(world, replica)
    else:
        world.note("%s is told to stop", replica.name)
        replica.stopping = True
    return True


def time(world: World) -> bool:
    """Let time pass while something could happen."""
    return world.pass_time()


def lose_request(world: World) -> bool:
    """Lose a request on the network."""
    if not world.requests:
        return False
    request = world.requests.pop(world.choose(len(world.requests)))
    world.note("a request is lost: %s", request[2])
    return True


def double_request(world: World) -> bool:
    """Have a request arrive twice."""
    if not world.requests:
        return False
    request = world.requests[world.choose(len(world.requests))]
    world.saw("a request was doubled")
    world.note("a request is doubled: %s", request[2])
    world.requests.append(request)
    return True


def lose_answer(world: World) -> bool:
    """Lose an answer on the network."""
    if not world.answers:
        return False
    world.answers.pop(world.choose(len(world.answers)))
    world.note("an answer is lost")
    return True


def reset(world: World) -> bool:
    """Break the connection of a call: unknown at once, and the request may still arrive."""
    callers = [caller for caller in (world.edge, *world.replicas) if caller.call_id and caller.mode is Mode.UP]
    if callers:
        callers[world.choose(len(callers))].answered("unknown", "its connection broke")
    return bool(callers)


def cancel(world: World) -> bool:
    """Ask for the order to be cancelled."""
    return world.operator.ask("cancel")


def retry(world: World) -> bool:
    """Ask for a stuck order to go on."""
    return world.operator.ask("retry")


def pause(world: World) -> bool:
    """Have an operator hold the order."""
    return world.operator.ask("pause")


def resume(world: World) -> bool:
    """Have an operator let it go on."""
    return world.operator.ask("resume")


def skip(world: World) -> bool:
    """Have an operator leave a step out, or its undoing."""
    return world.operator.ask("skip")


def complete(world: World) -> bool:
    """Have an operator say that the order is completed."""
    return world.operator.ask("complete")


def fail(world: World) -> bool:
    """Have an operator say that the order has failed."""
    return world.operator.ask("fail")


def repeat_request(world: World) -> bool:
    """Have the client repeat its request."""
    repeat(world)
    return True


def raise_on_it(world: World) -> bool:
    """Have the code raise on the order."""
    if world.poison is not None:
        return False
    world.poison = "raises"
    world.causes.add("poison")
    world.note("the code begins to fail on the order")
    return True


def die_of_it(world: World) -> bool:
    """Have processes die of the order."""
    if world.poison is not None:
        return False
    world.poison = "kills"
    world.note("processes begin to die of the order")
    return True


def fail_on_the_call(world: World) -> bool:
    """Have the code fail to make out the order's next call."""
    if world.poison is not None:
        return False
    world.poison = "can't call"
    world.causes.add("poison")
    world.note("the code begins to fail on the order's next call")
    return True


def go_away(world: World) -> bool:
    """Have participants be away: their breaker opens."""
    if world.fleet not in ("closed", "full"):
        return False
    world.fleet = "away"
    world.note("participants are away")
    return True


def fill(world: World) -> bool:
    """Have as many calls on their way to participants as they may have."""
    if world.fleet != "closed":
        return False
    world.fleet = "full"
    world.note("participants have no slot left")
    return True


def offer_trial(world: World) -> bool:
    """Have a call try whether participants are back; one that was lost is offered again."""
    if world.fleet not in ("away", "on trial"):
        return False
    world.fleet = "trial due"
    world.note("a trial is due")
    return True


def come_back(world: World) -> bool:
    """Have participants be there again."""
    if world.fleet == "closed":
        return False
    world.fleet = "closed"
    world.note("participants are back")
    return True


def cure(world: World) -> bool:
    """Mend the code."""
    if world.poison is None:
        return False
    world.note("the code is mended")
    world.poison = None
    return True


def crash_edge(world: World) -> bool:
    """Kill the edge."""
    edge = world.edge
    if edge.mode is not Mode.UP or edge.phase == "done":
        return False
    world.saw(f"the edge crashed before {edge.phase}")
    world.note("the edge is killed before %s", edge.phase)
    edge.mode, edge.call_id = Mode.DOWN, 0
    return True


def stall_edge(world: World) -> bool:
    """Freeze the edge, or have it go on."""
    edge = world.edge
    if edge.mode is Mode.DOWN or edge.phase == "done":
        return False
    edge.mode = Mode.FROZEN if edge.mode is Mode.UP else Mode.UP
    world.note("the edge %s before %s", "freezes" if edge.mode is Mode.FROZEN else "thaws", edge.phase)
    return True


def heal(world: World) -> None:
    """End every fault: what is down starts, what is frozen goes on, the code works, and the client asks until it is told."""
    world.note("faults stop")
    for replica in world.replicas:
        if replica.stopping:
            _leave(world, replica)
        replica.mode, replica.cut = Mode.UP, False
    if world.edge.mode is Mode.FROZEN:
        world.edge.mode = Mode.UP
    if world.ledger.row is None:
        repeat(world)


def _leave(world: World, replica: Replica) -> None:
    """Have a replica exit that was told to stop, and give back what it holds."""
    world.note("%s is out of time and exits", replica.name)
    if replica.phase is not Phase.IDLE and not replica.cut:
        world.saw("a lease was given back")
        world.causes.add("lapses")
        world.ledger.release(replica.epoch, world.now_s)
    replica.mode, replica.stopping, replica.cut = Mode.DOWN, False, False
    replica.drop()


def _some(world: World, wanted: Callable[[Replica], bool]) -> Replica | None:
    found = [replica for replica in world.replicas if wanted(replica)]
    return found[world.choose(len(found))] if found else None


ACTS: Final[dict[str, Callable[[World], bool]]] = {
    act.__name__: act
    for act in (
        crash, restart, freeze, thaw, cut, mend, terminate, time, lose_request, double_request, lose_answer, reset,
        cancel, retry, pause, resume, skip, complete, fail, repeat_request,
        raise_on_it, die_of_it, fail_on_the_call, cure, crash_edge, stall_edge,
        go_away, fill, offer_trial, come_back,
    )
}  # fmt: skip
