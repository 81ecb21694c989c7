"""Rendezvous: every backend sets an alarm by the key, and the first to ring has it: argmax of weight / -ln(h(key, it)).

Up to SMALL backends that is done literally, among those that may be taken: the shares are exact, no table is built, and
when one goes, or a weight falls, only its own keys move, spread over all the others by weight.

Above that a look at everyone would cost too much, and the same is done in a tree. A backend's key in digits of 6 bits
is its path; at each node the children that are not empty set their alarms by the sum of their weights, down to one
backend: O(64 x depth), with a depth of about log64 n, and shares as exact. When a backend goes for good, its weight is
missing in every node above it, each of which then gives away at most 1/n of all keys: so at most (1 + depth)/n move.
One that is only unavailable stays in the tree: then its keys alone move, to its siblings or by a jump. A pool that
grows past SMALL, or shrinks to it, moves all its keys once.
Source: Thaler and Ravishankar 1998; weights: Schindelhauer and Schomaker 2005; the tree: Wang and Ravishankar 2009.
"""

from array import array
from itertools import accumulate
from math import inf
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.keyed import SMALL, Keyed, in_order, rings_at
from steelyard.core.policy import Pick, register
from steelyard.core.spec import PolicySpec
from steelyard.core.stable import mix
from steelyard.core.table import Table

DIGIT_BITS: Final = 6
FIRST_SHIFT: Final = 64 - DIGIT_BITS  # of a key, so that its first digit remains; the tenth leaves 4 bits for the last
NOBODY: Final = -1
ROUGH: Final = 12  # h to 52 bits, as a C double has them
STEP: Final = 1.0 / (1 << 52)


class Rendezvous(Keyed):
    """`rendezvous`. The tree lies in arrays, node after node, each node's children side by side.

    first: where a node's children begin; the next node's first is their end. labels: what is mixed with the key for a
    child. rates: its weight. leads: to the member of that index, or below 0 to the node of minus that number.
    """

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.members: list[Backend] = []
        self.first = array("q", [0, 0])
        self.labels = array("Q")
        self.rates = array("d")
        self.leads = array("q")

    def arrange(self) -> int:
        """Plant the tree. Returns 0."""
        self.members, keys = in_order(self.backends)
        # At least 1: another process may have taken one to 0 since, which is for the next time.
        shares = [max(1, backend.share()) for backend in self.members]
        if len(keys) <= SMALL:
            self.first = array("q", [0, len(keys)])
            self.labels = array("Q", keys)
            self.rates = array("d", shares)
            self.leads = array("q", range(len(keys)))
        else:
            self.plant(keys, list(accumulate(shares, initial=0)))
        return 0

    def plant(self, keys: list[int], sums: list[int]) -> int:
        """Make the tree of these keys. sums: of the shares before each member, and of all. Returns 0."""
        first, labels, rates, leads = [0], [], [], []
        nodes = [(0, len(keys), 0)]  # which members, and how deep
        for low, high, depth in nodes:  # which grows meanwhile: every node comes after its parent
            shift = max(0, FIRST_SHIFT - DIGIT_BITS * depth)
            begin = low
            while begin < high:
                path = keys[begin] >> shift
                end = begin + 1
                while end < high and keys[end] >> shift == path:
                    end += 1
                labels.append(mix(path, depth))
                rates.append(sums[end] - sums[begin])
                if end - begin == 1:
                    leads.append(begin)
                else:
                    leads.append(-len(nodes))
                    nodes.append((begin, end, depth + 1))
                begin = end
            first.append(len(labels))
        self.first = array("q", first)
        self.labels = array("Q", labels)
        self.rates = array("d", rates)
        self.leads = array("q", leads)
        return 0

    def find(self, request: Pick, key: int) -> Backend | None:
        """Whose alarm rings first, from the root down."""
        node = 0
        while True:
            best = NOBODY
            best_at = inf
            for child in range(self.first[node], self.first[node + 1]):
                bits = mix(key, self.labels[child])
                rate = self.rates[child]
                # -ln(h) is 1 - h or more, which spares the logarithm of nearly all; the step makes up for rounding.
                height = bits >> ROUGH
                if height * STEP <= 1.0 - best_at * rate - STEP:
                    continue
                at = rings_at(bits, rate)
                if at >= best_at:
                    continue
                to = self.leads[child]
                if to < 0 or self.accepts(request, self.members[to]):
                    best, best_at = child, at
            if best == NOBODY:
                return None
            to = self.leads[best]
            if to >= 0:
                return self.members[to]
            node = -to


register(
    "rendezvous", Rendezvous, "every backend bids for the key: exact shares, few keys move", ("key", "bound"), ours=True
)
