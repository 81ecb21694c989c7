"""Turns: everyone in turn, by weight, as smoothly as can be, over one cursor for all workers.

The order of turns is fixed when the weights are, and a turn is a number: `fetch_add` on the tier's cursor. So
several workers rotate as one, and none of them keeps state of its own. A turn whose backend cannot be taken goes
to the next turn's, and the rotation continues from the one that was found (1, 2 dead, 3 gives 1, 3, 1, 3).

Equal weights: the backends in their order. Others: nginx's smooth order (add every weight to its backend's
credit, the largest credit takes the turn and pays the sum; 5, 1, 1 gives a a b a c a a), written down once.
Writing it down costs sum x count steps, so beyond SMOOTH_STEPS the turns are not written down but computed: they
walk around the line of all weights in steps of the golden section, which visits every point of it once a round
and keeps any stretch of turns near its share (three-distance theorem). That is O(log n) a turn and O(n) memory,
where a heap of deadlines would be state that workers cannot share through one number.

The dead cost no looks: in a written order each turn knows how far it is to the next one that takes requests, and the
walk goes around the line of those alone. Both are made anew when the tier's GENERATION changes.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from math import gcd
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.line import Line, by_share
from steelyard.core.policy import Pick
from steelyard.core.table import Table
from steelyard.core.watch import Watch

CURSOR: Final = cells.CURSOR
SMOOTH_STEPS: Final = 1 << 16  # about 3 ms, interpreted 6: a reload of a hundred such pools stays under a second
GOLDEN: Final = 0.6180339887498949
MAX_QUOTIENT: Final = 16  # keeps any backend within log2(turns) turns of its share (measured: a third of that)
MIN_PATIENCE: Final = 256  # full or tried ones passed over before the rest would cost more than a look at everyone
# Turn x step must fit into 63 bits. Where the shares add up to more, they are counted in a larger unit: nobody's
# share is off by more than one turn in two thousand million, and nobody has none.
MAX_TURNS: Final = 1 << 31


class Turns:
    """Whose turn is it? table, row: the tier's, where the cursor is. cursor: which cell of it that is."""

    def __init__(self, table: Table, row: int, cursor: int = CURSOR) -> None:
        self.table = table
        self.row = row
        self.cursor = cursor
        self.watch = Watch(table, row)
        self.backends: list[Backend] = []
        self.order: list[Backend] = []
        self.hops = array("q")
        self.line = Line([], [])
        self.walks = False
        self.turns = 0
        self.step = 1
        self.patience = 0

    def lay(self, backends: Sequence[Backend]) -> None:
        """Fix the order of turns for these backends and their shares."""
        self.backends = [backend for backend in backends if backend.share() > 0]
        self.watch.forget()
        self.patience = max(len(self.backends), MIN_PATIENCE)
        shares = [backend.share() for backend in self.backends]
        unit = gcd(*shares)
        weights = [share // unit for share in shares]
        turns = sum(weights)
        self.walks = False
        if turns == len(weights):
            self.order = self.backends
        elif turns * len(weights) <= SMOOTH_STEPS:
            self.order = [self.backends[index] for index in smooth_order(weights)]
        else:
            self.order = []
            self.walks = True

    def next(self, request: Pick) -> Backend | None:
        """The next backend in turn that may be taken; None when there is none."""
        if self.watch.stale(request.panic):
            self.look()
        if self.turns == 0:
            return None
        turn = self.table.fetch_add(self.row, self.cursor, 1)
        at = turn % self.turns
        skipped = 0
        for _ in range(self.patience):
            if self.walks:
                backend = self.line.owner(at * self.step % self.turns)
            else:
                hop = self.hops[at]
                skipped += hop
                at = (at + hop) % self.turns
                backend = self.order[at]
            if request.may_take(backend):
                if skipped > 0:
                    self.table.fetch_add(self.row, self.cursor, skipped)
                return backend
            skipped += 1
            at = (at + 1) % self.turns
        return self.among_available(request, turn)

    def look(self) -> None:
        """See who takes requests now, be they full or not."""
        if self.walks:
            takers = [backend for backend in self.backends if backend.takes_requests(self.watch.panic)]
            self.line = Line(takers, list(accumulate(coarse([backend.share() for backend in takers]))))
            self.turns = self.line.length
            self.step = golden_step(self.turns)
            return
        self.turns = len(self.order)
        self.hops = array("q", bytes(8 * self.turns))
        hop = 0
        # Twice around, backwards: the first round finds what the last turns have to know of the next round.
        for at in range(2 * self.turns - 1, -1, -1):
            place = at % self.turns
            backend = self.order[place]
            hop = 0 if backend.takes_requests(self.watch.panic) else hop + 1
            self.hops[place] = hop
        if hop == 2 * self.turns:
            self.turns = 0  # nobody takes any

    def among_available(self, request: Pick, turn: int) -> Backend | None:
        """The turn's backend as if only those existed that may be taken; None when there are none."""
        candidates = [backend for backend in self.backends if request.may_take(backend)]
        if not candidates:
            return None
        line = by_share(candidates)
        return line.owner(turn % line.length)


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


def coarse(shares: Sequence[int]) -> list[int]:
    """The shares in the largest unit that measures them all, or in one so large that they add up to MAX_TURNS."""
    unit = gcd(*shares) or 1
    total = sum(shares) // unit
    if total <= MAX_TURNS:
        return [share // unit for share in shares]
    return [max(1, share // unit * MAX_TURNS // total) for share in shares]


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
