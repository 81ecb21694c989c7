"""Round robin: everyone in turn, by weight, as smoothly as can be, all workers as one (core/turns.py has the rule)."""

from collections.abc import Sequence

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, register
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table
from steelyard.core.turns import CURSOR, Turns


class RoundRobin(Policy):
    """`round_robin`. cursor: the cell of its row that says whose turn it is."""

    def __init__(self, spec: PolicySpec, table: Table, row: int, cursor: int = CURSOR) -> None:
        super().__init__(spec, table, row)
        self.turns = Turns(table, row, cursor)

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Fix the order of turns for these backends and their shares."""
        self.backends = list(backends)
        self.turns.lay(self.backends)

    def pick(self, request: Pick) -> Backend | None:
        """The next backend in turn that may be taken."""
        return self.turns.next(request)


register("round_robin", RoundRobin, "everyone in turn, by weight, as smoothly as can be", ours=True)
