"""Policies that prefer the backends which answer soonest, without the two traps of that idea.

`least_response_time`: the smallest response time x (in flight + 1) / weight / success rate. Up to LOOK_AT_ALL backends
it looks at every one; of more it compares CHOICES distinct ones drawn by chance, since times change with every answer
and every second, so that no order of all backends would hold. Three, because each choice more brings less (mean times
at a load of 0.9 are 10, 2.61 and 2.03 for one, two and three: Mitzenmacher 2001) and costs its cache misses again.

`peak_ewma`: a cost that a slow answer raises at once and that comes down with decay_s, x (in flight + 1) / weight /
success rate: the smaller one of two distinct draws. It shuns a server that hiccups within one answer.

Starvation (one slow answer, and then no request that could mend the opinion of it): a time that is not confirmed fades
to the mean of all, and every backend gets a floor of traffic (core/learning.py).
Black hole (a server that fails fast looks fast): failures have no time of their own, and the success rate divides.
Source: nginx `least_time`; Finagle `PeakEwma` with `P2C`.
"""

from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.learning import Learning
from steelyard.core.learnt import Learnt, Peak
from steelyard.core.policy import Pick, register

# Of our own, which latency.pxd makes C integers.
CURSOR: Final = cells.CURSOR
LOOK_AT_ALL: Final = 64
CHOICES: Final = 3


class LeastResponseTime(Learning):
    """`least_response_time`."""

    def pick(self, request: Pick) -> Backend | None:
        """The backend that is expected to answer first."""
        turn = self.table.fetch_add(self.row, CURSOR, 1)
        found = self.owed(request, turn)
        if found is not None:
            return found
        count = len(self.seats)
        if count <= LOOK_AT_ALL:
            return self.cheapest(request, self.seats, turn % count if count else 0)
        return self.cheapest(request, self.deck.deal(request, CHOICES), 0)


class PeakEwma(Learning):
    """`peak_ewma`."""

    def seat(self, backend: Backend) -> Learnt:
        """A memory with a peak."""
        return Peak(backend, self.decay_s)

    def pick(self, request: Pick) -> Backend | None:
        """Of two backends the one that costs less."""
        found = self.owed(request, self.table.fetch_add(self.row, CURSOR, 1))
        if found is not None:
            return found
        return self.cheapest(request, self.deck.deal(request, 2), 0)


register(
    "least_response_time",
    LeastResponseTime,
    "the smallest response time x (in flight + 1) / weight / success rate",
    ("decay_s",),
    ours=True,
)
register(
    "peak_ewma",
    PeakEwma,
    "of two drawn by chance the one with the smaller cost, which one slow answer raises at once",
    ("decay_s",),
    ours=True,
)
