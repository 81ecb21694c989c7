"""The backend of least cost, where a cost is a number that changes when a request begins or ends, and not else.

Up to SMALL backends: a look at each. Beyond, the costs stand in a tournament: a binary tree in one C array whose
leaves are the costs, and each node the lesser of the two below it. A change plays the matches above its leaf again
(and stops where the winner stays), and the least of all is read off the root: both O(log n). Who may not be picked
costs infinity. Ties go to the first one at or after `start`, around the end: going up from there and down again finds
it, again in O(log n), so that a large pool picks exactly what a look at everyone would have found.

The table is the truth and the tree is what was last seen of it: other workers begin and end requests without telling.
So the winner is looked at before it is believed, and one that has become dearer plays again; each pick also looks
at LOOKS others in rotation, which finds those that have become cheaper: with W workers the others have sent each
backend (W - 1) / LOOKS requests on average since we looked at it, however many backends there are. Before a tree full
of infinity is believed, the tier's requests in flight must be as many as were seen.
Source: the tournament as a priority structure: Knuth, The Art of Computer Programming, volume 3, 5.4.1.
"""

from array import array
from collections.abc import Sequence
from math import inf
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table
from steelyard.core.watch import Watch

IN_FLIGHT: Final = cells.IN_FLIGHT
SMALL: Final = 64  # a look at each of them costs a microsecond, and is exact whatever other workers do
LOOKS: Final = 4
REMATCHES: Final = 8  # winners that had become dearer; after as many the best of them is good enough
NOBODY: Final = -1


class Cheapest(Policy):
    """What such policies share: a subclass says what a backend costs, and where ties begin."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.watch = Watch(table, row)
        self.size = 0  # leaves of the tree, a power of two; 0 when there is none
        self.costs = array("d", [inf])
        self.seen = array("q")  # requests in flight
        self.seen_in_all = 0
        self.places = array("q")  # by the table's rows, from first_row on
        self.first_row = 0
        self.next_look = 0

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Draw up the tournament; it is played at the next pick."""
        self.backends = list(backends)
        self.watch.forget()
        count = len(self.backends)
        self.size = 0
        if count <= SMALL:
            return
        rows = [backend.row for backend in self.backends]
        self.first_row = min(rows)
        self.places = array("q", [NOBODY]) * (max(rows) - self.first_row + 1)
        for at in range(count):
            backend = self.backends[at]
            self.places[backend.row - self.first_row] = at
        self.size = 1 << (count - 1).bit_length()
        self.costs = array("d", [inf]) * (2 * self.size)
        self.seen = array("q", [0]) * count
        self.seen_in_all = 0

    def cost(self, backend: Backend, at: int) -> float:
        """What it costs to send the next request there. at: its place in the list."""
        raise NotImplementedError(f"{type(self).__name__} must say what a backend costs")

    def began(self, request: Pick, backend: Backend) -> None:
        """It has one request more."""
        at = self.place(backend)
        if at != NOBODY:
            self.look(at)

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        """It has one request less."""
        at = self.place(backend)
        if at != NOBODY:
            self.look(at)

    def cheapest(self, request: Pick, start: int, reach: int) -> int:
        """The place of the cheapest backend that may be taken; of several, the first from `start` on. NOBODY without.

        reach: only those below this place are worth the looks that find who has become cheaper.
        """
        if self.size == 0:
            return self.scan(request, start)
        if self.watch.stale(request.panic):
            self.play_all()
        for _ in range(LOOKS):
            if self.next_look >= reach:
                self.next_look = 0
            self.look(self.next_look)
            self.next_look += 1
        found = self.untried(request, start)
        if found == NOBODY and self.seen_in_all != self.table.total(self.row, IN_FLIGHT):
            self.play_all()
            found = self.untried(request, start)
        return found

    def scan(self, request: Pick, start: int) -> int:
        """The same by a look at each."""
        best = NOBODY
        best_cost = inf
        at = start
        for _ in range(len(self.backends)):
            backend = self.backends[at]
            cost = self.cost(backend, at)
            if cost < best_cost and request.may_take(backend):
                best = at
                best_cost = cost
            at += 1
            if at == len(self.backends):
                at = 0
        return best

    def untried(self, request: Pick, start: int) -> int:
        """The same by the tournament, from which those are absent meanwhile that the request has tried."""
        tried = request.tried
        if tried is None:
            return self.winner(start)
        for backend in tried:
            at = self.place_anew(backend)
            if at != NOBODY:
                self.put(at, inf)
        found = self.winner(start)
        for backend in tried:
            at = self.place_anew(backend)
            if at != NOBODY:
                self.look(at)
        return found

    def winner(self, start: int) -> int:
        """Who wins the tournament, and has not become dearer unseen."""
        best = NOBODY
        best_cost = inf
        rematches = 0
        while rematches < REMATCHES:
            at = self.first_least(start)
            if at == NOBODY:
                return NOBODY
            before = self.costs[self.size + at]
            cost = self.look(at)
            if cost <= before:
                return at
            # One that is no longer to be had is no rematch: whoever took the last place there has paid for this look.
            if cost < inf:
                rematches += 1
                if cost < best_cost:
                    best = at
                    best_cost = cost
        return best

    def first_least(self, start: int) -> int:
        """The first place from `start` on, around the end, with the least cost of all; NOBODY when that is infinite."""
        least = self.costs[1]
        if least == inf:
            return NOBODY
        node = self.size + start
        if self.costs[node] == least:
            return start
        while node > 1:
            # From a left child the other side of the match lies ahead; from a right one it lies behind us.
            if node & 1 == 0 and self.costs[node + 1] == least:
                node += 1
                break
            node >>= 1
        while node < self.size:
            node *= 2
            if self.costs[node] != least:
                node += 1
        return node - self.size

    def look(self, at: int) -> float:
        """See what that one costs now; returns it."""
        backend = self.backends[at]
        in_flight = backend.count_in_flight()
        self.seen_in_all += in_flight - self.seen[at]
        self.seen[at] = in_flight
        cost = inf
        if backend.takes_requests(self.watch.panic) and not backend.is_full():
            cost = self.cost(backend, at)
        self.put(at, cost)
        return cost

    def put(self, at: int, cost: float) -> int:
        """Enter a cost, and play the matches again that it decides. Returns 0."""
        node = self.size + at
        if self.costs[node] == cost:
            return 0
        self.costs[node] = cost
        node >>= 1
        while node > 0:
            least = self.costs[2 * node]
            if self.costs[2 * node + 1] < least:
                least = self.costs[2 * node + 1]
            if self.costs[node] == least:
                return 0
            self.costs[node] = least
            node >>= 1
        return 0

    def play_all(self) -> None:
        """See what everyone costs now."""
        for at in range(len(self.backends)):
            self.look(at)

    def place(self, backend: Backend) -> int:
        """Where that one stands in the tournament; NOBODY for one of another tier, and when there is none."""
        at = backend.row - self.first_row
        if self.size == 0 or at < 0 or at >= len(self.places):
            return NOBODY
        place = self.places[at]
        return place if place != NOBODY and self.backends[place] is backend else NOBODY

    def place_anew(self, backend: Backend) -> int:
        """The same where a reload may have made it anew since, also over another row: for what fails, a look at all."""
        place = self.place(backend)
        if place != NOBODY:
            return place
        for at in range(len(self.backends)):
            other = self.backends[at]
            if other.key == backend.key:
                return at
        return NOBODY
