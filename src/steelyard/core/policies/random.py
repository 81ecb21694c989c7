"""Chance: one draw by weight, or the less loaded of a few draws.

`random` needs to know nothing and is right on average. `power_of_two` looks at the load of two distinct backends
(or `choices` of them) and takes the less loaded: that alone brings the longest queue from ln n / ln ln n down to
about ln ln n / ln 2, and needs no exact numbers, so that many balancers do not all run to the same backend.
Every draw is unbiased: it is made among those that take requests (noted anew when the tier's GENERATION changes); a
drawn one that is full or was tried is drawn again, and when that happens too often, the draw is repeated among those
alone that may be taken. Both give each of them the chance it should have, and a pick always ends.
Source: Mitzenmacher 2001; the distinct second draw: Finagle `P2CPick`.
"""

from collections.abc import Sequence
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.line import Line, by_share
from steelyard.core.policy import Pick, Policy, register
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table
from steelyard.core.watch import Watch

MISSES: Final = 8  # while half may be taken, one pick in 256 needs the look at everyone
LOOKS_A_DRAW: Final = 16  # a draw costs what looking at so many costs: a large pool draws longer before it looks


class Random(Policy):
    """`random`: each backend with the chance of its weight."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.watch = Watch(table, row)
        self.line = Line([], [])
        self.patience = MISSES

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Take note of who exists."""
        self.backends = list(backends)
        self.patience = max(MISSES, len(self.backends) // LOOKS_A_DRAW)
        self.watch.forget()

    def pick(self, request: Pick) -> Backend | None:
        """A backend that may be taken, by chance."""
        if self.watch.stale(request.panic):
            self.line = by_share([backend for backend in self.backends if backend.takes_requests(request.panic)])
        if self.line.length == 0:
            return None
        for _ in range(self.patience):
            backend = self.line.owner(request.below(self.line.length))
            if request.may_take(backend):
                return backend
        line = by_share(self.candidates(request))
        return None if line.length == 0 else line.owner(request.below(line.length))


class PowerOfTwo(Policy):
    """`power_of_two`: of `choices` distinct draws the one with the fewest requests in flight per weight.

    Ties (an idle pool is full of them) go to the one that has had fewer requests per weight since anything changed
    about who takes requests: one that was away has nothing to catch up on.
    """

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.watch = Watch(table, row)
        self.choices = spec.choices
        self.cards: list[Backend] = []
        self.before: dict[Backend, int] = {}  # requests that each had had when that list was made
        self.draws = 0

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Take note of who exists."""
        self.backends = list(backends)
        self.draws = self.choices + max(MISSES, len(self.backends) // LOOKS_A_DRAW)
        self.watch.forget()

    def pick(self, request: Pick) -> Backend | None:
        """The least loaded of the drawn ones."""
        if self.watch.stale(request.panic):
            self.cards = [backend for backend in self.backends if backend.takes_requests(request.panic)]
            self.before = {backend: backend.count_requests() for backend in self.cards}
        best = self.draw(request, self.cards, self.draws)
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
        best_load = best_weight = 0
        for drawn in range(min(draws, count)):
            at = drawn + request.below(count - drawn)
            backend = cards[at]
            cards[at] = cards[drawn]
            cards[drawn] = backend
            if not request.may_take(backend):
                continue
            load = backend.count_in_flight()
            weight = backend.share()
            difference = load * best_weight - best_load * weight
            if (
                best is None
                or difference < 0
                or (difference == 0 and self.had(backend) * best_weight < self.had(best) * weight)
            ):
                best, best_load, best_weight = backend, load, weight
            found += 1
            if found == self.choices:
                return best
        return best if draws >= count else None

    def had(self, backend: Backend) -> float:
        """Its requests since then; times a weight, years of them do not fit into 63 bits."""
        return float(backend.count_requests() - self.before.get(backend, 0))


register("random", Random, "each backend with the chance of its weight", ours=True)
register("power_of_two", PowerOfTwo, "of two drawn by chance the less loaded", ("choices",), ours=True)
