"""Chance: one draw by weight, or the less loaded of a few draws.

`random` needs to know nothing and is right on average. `power_of_two` looks at the load of two distinct backends
(or `choices` of them) and takes the less loaded: that alone brings the longest queue from ln n / ln ln n down to
about ln ln n / ln 2, and needs no exact numbers, so that many balancers do not all run to the same backend.
Every draw is unbiased: a drawn backend that may not be taken is drawn again, and when that happens too often, the
draw is repeated among those alone that may; both give each of them the same chance, and a pick always ends.
Source: Mitzenmacher 2001; the distinct second draw: Finagle `P2CPick`.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, register
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table

MISSES: Final = 8  # while half may be taken, one pick in 256 needs the look at everyone


class Random(Policy):
    """`random`: each backend with the chance of its weight."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.bounds: list[int] = []
        self.weights = 0

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Lay the weights end to end."""
        self.backends = list(backends)
        self.bounds = list(accumulate([backend.weight for backend in backends]))
        self.weights = self.bounds[-1] if self.bounds else 0

    def pick(self, request: Pick) -> Backend | None:
        """A backend that may be taken, by chance."""
        if self.weights == 0:
            return None
        for _ in range(MISSES):
            backend = self.backends[bisect_right(self.bounds, request.below(self.weights))]
            if request.may_take(backend):
                return backend
        candidates = self.candidates(request)
        if not candidates:
            return None
        bounds = list(accumulate([backend.current_weight() for backend in candidates]))
        return candidates[bisect_right(bounds, request.below(bounds[-1]))]


class PowerOfTwo(Policy):
    """`power_of_two`: of `choices` distinct draws the one with the fewest requests in flight per weight.

    Ties (an idle pool is full of them) go to the one that has had fewer requests per weight.
    """

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.choices = spec.choices
        self.cards: list[Backend] = []

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Take a new pack of cards."""
        self.backends = list(backends)
        self.cards = self.backends.copy()

    def pick(self, request: Pick) -> Backend | None:
        """The least loaded of the drawn ones."""
        best = self.draw(request, self.cards, self.choices + MISSES)
        if best is not None:
            return best
        cards = self.candidates(request)
        return self.draw(request, cards, len(cards))

    def draw(self, request: Pick, cards: list[Backend], draws: int) -> Backend | None:
        """Deal from the pack until `choices` backends may be taken, and return the best; None without enough of them.

        Each card dealt is swapped to the front: the next one is drawn from the others, so all are distinct, and
        whatever order the pack had, every hand is equally likely (Fisher and Yates).
        """
        count = len(cards)
        found = 0
        best: Backend | None = None
        best_load = best_weight = best_requests = 0
        for drawn in range(min(draws, count)):
            at = drawn + request.below(count - drawn)
            backend = cards[at]
            cards[at] = cards[drawn]
            cards[drawn] = backend
            if not request.may_take(backend):
                continue
            load = backend.count_in_flight()
            weight = backend.current_weight()
            requests = backend.count_requests()
            difference = load * best_weight - best_load * weight
            if best is None or difference < 0 or (difference == 0 and requests * best_weight < best_requests * weight):
                best, best_load, best_weight, best_requests = backend, load, weight, requests
            found += 1
            if found == self.choices:
                return best
        return best if draws >= count else None


register("random", Random)
register("power_of_two", PowerOfTwo)
