"""Round robin: everyone in turn, by weight, as smoothly as can be, over one cursor for all workers.

The order of turns is fixed when the weights are, and a turn is a number: `fetch_add` on the pool's cursor. So
several workers rotate as one, and none of them keeps state of its own. A turn whose backend cannot be taken goes
to the next turn's, and the rotation continues from the one that was found (1, 2 dead, 3 gives 1, 3, 1, 3).

Equal weights: the backends in their order. Others: nginx's smooth order (add every weight to its backend's
credit, the largest credit takes the turn and pays the sum; 5, 1, 1 gives a a b a c a a), written down once.
Writing it down costs sum x count steps, so beyond SMOOTH_STEPS the turns are not written down but computed: they
walk around the line of all weights in steps of the golden section, which visits every point of it once a round
and keeps any stretch of turns near its share (three-distance theorem). That is O(log n) a turn and O(n) memory,
where a heap of deadlines would be state that workers cannot share through one number.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import gcd
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, register
from steelyard.core.spec import PolicySpec
from steelyard.core.table import CURSOR, Table

SMOOTH_STEPS: Final = 1 << 16  # about 3 ms, interpreted 6: a reload of a hundred such pools stays under a second
GOLDEN: Final = 0.6180339887498949
MAX_QUOTIENT: Final = 16  # keeps any backend within log2(turns) turns of its share (measured: a third of that)
MIN_PATIENCE: Final = 256  # turns passed over before the rest of the walk costs more than a look at everyone


class RoundRobin(Policy):
    """`round_robin`."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.order: list[Backend] = []
        self.bounds: list[int] = []
        self.turns = 0
        self.step = 1
        self.patience = 0

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Fix the order of turns for these backends and their weights."""
        self.backends = list(backends)
        takers = [backend for backend in backends if backend.weight > 0]
        unit = gcd(*[backend.weight for backend in takers])
        weights = [backend.weight // unit for backend in takers]
        self.turns = sum(weights)
        self.patience = max(len(takers), MIN_PATIENCE)
        self.bounds = []
        if self.turns == len(takers):
            self.order = takers
        elif self.turns * len(takers) <= SMOOTH_STEPS:
            self.order = [takers[index] for index in smooth_order(weights)]
        else:
            self.order = takers
            self.bounds = list(accumulate(weights))
            self.step = golden_step(self.turns)

    def pick(self, request: Pick) -> Backend | None:
        """The next backend in turn that may be taken."""
        if self.turns == 0:
            return None
        turn = self.table.fetch_add(self.row, CURSOR, 1)
        backend = self.whose(turn)
        if request.may_take(backend):
            return backend
        for skipped in range(1, self.patience + 1):
            backend = self.whose(turn + skipped)
            if request.may_take(backend):
                self.table.fetch_add(self.row, CURSOR, skipped)
                return backend
        return self.among_available(request, turn)

    def whose(self, turn: int) -> Backend:
        """Whose turn that is."""
        at = turn % self.turns
        if not self.bounds:
            return self.order[at]
        return self.order[bisect_right(self.bounds, at * self.step % self.turns)]

    def among_available(self, request: Pick, turn: int) -> Backend | None:
        """The turn's backend as if only those existed that may be taken; None when there are none."""
        candidates = self.candidates(request)
        if not candidates:
            return None
        bounds = list(accumulate([backend.current_weight() for backend in candidates]))
        return candidates[bisect_right(bounds, turn % bounds[-1])]


def smooth_order(weights: Sequence[int]) -> list[int]:
    """One whole round of nginx's smooth weighted order, as indexes: sum(weights) turns."""
    total = sum(weights)
    credits = [0] * len(weights)
    order = []
    for _ in range(total):
        credits = [credit + weight for credit, weight in zip(credits, weights, strict=True)]
        index = credits.index(max(credits))
        credits[index] -= total
        order.append(index)
    return order


def golden_step(turns: int) -> int:
    """A step near the golden section of `turns`, which meets every point once a round, and evenly all the way.

    Euclid's algorithm tells both: it ends at 1 when the two share no divisor, and a large quotient in it is a
    stretch of turns that hardly moves.
    """
    step = int(turns * GOLDEN)
    while True:
        larger, smaller, steepest = turns, step, 0
        while smaller > 0:
            steepest = max(steepest, larger // smaller)
            larger, smaller = smaller, larger % smaller
        if larger == 1 and steepest <= MAX_QUOTIENT:
            return step
        step += 1


register("round_robin", RoundRobin)
