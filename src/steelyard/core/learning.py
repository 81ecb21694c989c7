"""What policies that learn from answers have in common: the memory, and the floor of traffic that keeps it true.

Every FLOOR_EVERY-th pick goes in turn, by weight, and not by what was learnt. So a backend with nothing to do gets at
least one in FLOOR_EVERY of the requests that its weight alone would bring it: a wrong opinion of it is found out, and
so is a right one that no longer holds. One in 32 costs little: where less than a third of a pool is slow, fewer than
1 % of the requests meet it so, and the 99th percentile is not moved.
The floor is not owed to one that holds its share of what is in flight: it is slow, not forgotten, and a server that
hangs gets no second request before the others are as loaded.

The turns walk around the line of all weights in steps of the golden section, by the cursor that all workers share:
any stretch of turns is spread as evenly as its length allows (three-distance theorem), and no worker keeps state of it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.deck import Deck
from steelyard.core.learnt import Learnt
from steelyard.core.policy import Pick, Policy, end_to_end
from steelyard.core.spec import PolicySpec
from steelyard.core.stable import unit
from steelyard.core.table import Table

FLOOR_EVERY: Final = 32

# Of our own, which learning.pxd makes C integers.
CURSOR: Final = cells.CURSOR
IN_FLIGHT: Final = cells.IN_FLIGHT
LAP: Final = FLOOR_EVERY
STEP: Final = 0x9E37_79B9_7F4A_7C15  # the golden section of 2^64
MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


class Learning(Policy):
    """Remembers each backend's answers. seats: one for each backend, in order; together: of all answers."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.decay_s = spec.decay_s
        self.seats: list[Learnt] = []
        self.seat_of: dict[Backend, Learnt] = {}
        self.together = Learnt(None, spec.decay_s)
        self.deck = Deck(table, row, [])
        self.bounds: list[int] = []
        self.points = 0
        self.shares = 0.0

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Take note of who exists; what was learnt about those that stay is kept."""
        self.remember(backends)

    def remember(self, backends: Sequence[Backend]) -> None:
        """What `rebuild` does, for those that override it."""
        self.backends = list(backends)
        before = self.seat_of
        self.seats = [before[backend] if backend in before else self.seat(backend) for backend in self.backends]
        self.seat_of = dict(zip(self.backends, self.seats, strict=True))
        self.deck = Deck(self.table, self.row, self.seats)
        self.bounds = end_to_end(self.backends)
        self.points = self.bounds[-1] if self.bounds else 0
        self.shares = sum([backend.share() for backend in self.backends])

    def seat(self, backend: Backend) -> Learnt:
        """The memory of a backend that is new."""
        return Learnt(backend, self.decay_s)

    def owed(self, request: Pick, turn: int) -> Backend | None:
        """The backend that this turn of the cursor belongs to, if it is one of the floor's."""
        if turn % LAP != LAP - 1 or self.points == 0:
            return None
        lap = turn // LAP
        at = int(unit(lap * STEP & MASK) * self.points)
        backend: Backend = self.backends[bisect_right(self.bounds, at)]
        everything = self.table.total(self.row, IN_FLIGHT)
        if backend.count_in_flight() * self.shares > (everything + 1.0) * backend.share():
            return None
        return backend if request.may_take(backend) else None

    def cheapest(self, request: Pick, seats: list[Learnt], start: int) -> Backend | None:
        """The one of these that costs least among those that may be taken; the look around begins at `start`.

        Ties (all are, before the first answers) go to the one that has had fewer requests per weight.
        """
        count = len(seats)
        mean_s = self.together.mean_s()
        best: Backend | None = None
        best_cost = best_requests = best_share = 0.0
        for step in range(count):
            at = start + step
            seat = seats[at if at < count else at - count]
            backend: Backend = seat.backend  # type: ignore[assignment]
            share: float = backend.share()
            if share <= 0.0:
                continue
            cost = seat.cost_s(mean_s, request.now) * (backend.count_in_flight() + 1) / share
            if best is not None and cost >= best_cost:
                more = cost > best_cost or backend.count_requests() * best_share >= best_requests * share
                if more:
                    continue
            if request.may_take(backend):
                best, best_cost, best_share = backend, cost, share
                best_requests = backend.count_requests()
        return best

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        """Learn from it.

        A client that left before the answer says only that it takes longer than that: worth knowing where more was
        not expected.
        """
        seat = self.seat_of.get(backend)
        if seat is None:
            return
        mean_s = self.together.mean_s()
        if failed or latency_s >= 0.0:
            seat.add(failed, latency_s, mean_s, now)
            self.together.add(failed, latency_s, mean_s, now)
        elif now - request.now > seat.response_s(mean_s, now):
            seat.add(False, now - request.now, mean_s, now)
