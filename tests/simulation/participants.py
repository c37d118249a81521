"""The participants in memory, with the rules of their fence: at most once, and never after its undo."""

from collections.abc import Callable

from tests.simulation.invariants import Invariants
from tests.simulation.scenes import Scene


class Participants:
    """All participants of one order.

    Args:
        scene: What their operations do.
        invariants: Looks at every effect.
        saw: Counts what happened.

    Attributes:
        accounts: Balances.
        fence: Of actions, by step: `done`, or `undone` for a tombstone.
        undone: Steps whose compensation was done.
        code: The same number for the same fences, in every process.
    """

    def __init__(self, scene: Scene, invariants: Invariants, saw: Callable[[str], None]) -> None:
        self.accounts = dict(scene.accounts)
        self.fence: dict[str, str] = {}
        self.undone: set[str] = set()
        self.code = 0
        self._refused: set[int] = set()
        self._scene = scene
        self._invariants = invariants
        self._saw = saw

    def act(self, step: str, number: int, *, refuses: bool = False) -> str:
        """Do a step's action; return what is answered.

        Args:
            step: Whose.
            number: Of the request; a copy of it has the same.
            refuses: Whether it is refused unless it was done before.
        """
        stands = self.fence.get(step)
        if stands == "done":
            self._saw("a repeat got the stored answer")
            return "succeeded"
        if stands == "undone":
            self._saw("a late action was refused by the tombstone")
            return "rejected"
        if refuses or self.refused_before(number):
            self._refused.add(number)
            return "rejected"
        action = self._scene.actions[step]
        if action.needs is not None and not self.accounts[action.needs]:
            return "rejected"
        self.fence[step] = "done"
        self.code |= 1 << 3 * self._scene.place_of[step]
        for account, amount in action.posts.items():
            self._post(account, amount)
        return "succeeded"

    def refused_before(self, number: int) -> bool:
        """Tell whether a copy of this request was refused: a refusal is a word for good. A later attempt is no copy."""
        return number in self._refused

    def undo(self, step: str) -> str:
        """Do a step's compensation; return what is answered. A refusal leaves no trace."""
        compensation = self._scene.compensations[step]
        if step in self.undone:
            self._saw("a repeated undo got the stored answer")
            return "succeeded"
        if compensation.barred_by is not None and self.accounts[compensation.barred_by]:
            return "rejected"
        for subject in compensation.subjects:
            if self.fence.setdefault(subject, "undone") == "undone":
                self.code |= 2 << 3 * self._scene.place_of[subject]
                if subject == step:
                    self._saw("an undo came before its action")
        self.undone.add(step)
        self.code |= 4 << 3 * self._scene.place_of[step]
        for account in compensation.empties:
            self._post(account, -self.accounts[account])
        return "succeeded"

    def probe(self, step: str) -> str:
        """Tell whether a step's action was done; what is not known may yet be done."""
        return {"done": "succeeded", "undone": "rejected"}.get(self.fence.get(step, ""), "unknown")

    def _post(self, account: str, amount: int) -> None:
        balance = self.accounts[account] = self.accounts[account] + amount
        self._invariants.posted(account, balance)
