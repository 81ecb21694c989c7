"""Prequal: the choice among a small pool of fresh answers of backends that were asked for their load.

Each request has some backends asked, by chance (`targets` says whom, `heard` takes the answer; who asks, and how, is
not known here). An answer is the requests in flight there and the time that one takes. A backend is *hot* when its
requests in flight are above a quantile of those heard of late. Of the cold ones that with the smallest time gets the
request; when all are hot, the one with the fewest in flight. Both count per weight, and over the success rate, so that
a backend that fails fast does not look good.

Of six backends or fewer the busiest is a sixth at least, which is not above 0.84: there the times decide alone, unless
a lower quantile is named.

The pool holds at most `keep` answers, one a backend, none older than max_age_s; each serves a bounded number of
requests (see `uses`), and each request that goes to its backend adds one to what it said. For every request the oldest
or, in turn, the worst is dropped: the best are used up, and a pool that kept the rest would go bad. Dropping stops at
half of `keep`, so that a pool of few backends is not left without.
With fewer than two answers to choose among it is the less loaded one of two distinct draws by our own numbers. And
there is the floor of traffic of all policies that learn (core/learning.py).

Where an answer lacks a number, ours stands for it: the requests in flight that the table counts, and the time that our
answers took x (in flight + 1). The paper's servers tell the time of requests that came upon as many others; a mean that
does not rise with the load would send everything to one server until that is hot (measured: 26 ms, where 12 will do).
Source: Wydrowski, Kleinberg, Rumble, Archer, "Load is not what you should balance: Introducing Prequal", NSDI 2024,
section 4: hot and cold, ageing, reuse, removal, the fall back.
"""

from collections.abc import Sequence
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.learning import Learning
from steelyard.core.learnt import Learnt
from steelyard.core.policy import Pick, register
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table

UNKNOWN: Final = -1  # requests in flight that an answer does not tell

# Of our own, which prequal.pxd makes C numbers.
CURSOR: Final = cells.CURSOR
UNIT: Final = cells.WEIGHT_UNIT
# Answers that the quantile is taken of: 20 lie above one of 0.84, and it forgets within 43 requests.
RECENT: Final = 128
GROWTH: Final = 1.0  # the paper's delta: by how much the pool should grow a request, if uses alone emptied it
DROPPED: Final = 1.0  # the paper's r_remove: answers dropped a request
MOST_WANTED: Final = 64  # where nobody asks, or nobody can ask so fast, the list of whom to ask does not grow


class Heard:
    """One answer. in_flight: with what was sent since. at: when it came, in seconds. uses: how many it has left."""

    def __init__(self, seat: Learnt, in_flight: int, latency_s: float, at: float, uses: int) -> None:
        self.seat = seat
        self.in_flight = in_flight
        self.latency_s = latency_s
        self.at = at
        self.uses = uses


class Prequal(Learning):
    """`prequal`. pool: the answers, oldest first. recent: the requests in flight per weight heard of late, sorted."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.keep = spec.probe.keep
        self.max_age_s = spec.probe.max_age_s
        self.per_request = spec.probe.per_request
        self.quantile = spec.quantile
        self.pool: list[Heard] = []
        self.recent: list[float] = []
        self.arrivals: list[float] = []
        self.oldest = 0
        self.wanted: list[Backend] = []
        self.to_ask = 0.0
        self.reuse = 1.0
        self.reuse_left = 0.0
        self.drop_worst = False

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Take note of who exists; answers of those that are gone are dropped."""
        self.remember(backends)
        self.pool = [heard for heard in self.pool if heard.seat.backend in self.seat_of]
        self.wanted = [backend for backend in self.wanted if backend in self.seat_of]
        self.reuse = uses(self.per_request, self.keep, len(self.backends))

    def pick(self, request: Pick) -> Backend | None:
        """The choice among the answers; the less loaded of two without."""
        found = self.owed(request, self.table.fetch_add(self.row, CURSOR, 1))
        if found is not None:
            return found
        self.age(request.now)
        found = self.choose(request)
        if found is not None:
            return found
        return self.cheapest(request, self.deck.deal(request, 2), 0)

    def choose(self, request: Pick) -> Backend | None:
        """The rule itself, over the answers of those that may be taken; None when there are fewer than two."""
        limit = self.hot_above()
        usable = 0
        coldest: Backend | None = None
        idlest: Backend | None = None
        least_latency = least_load = 0.0
        for heard in self.pool:
            backend: Backend = heard.seat.backend  # type: ignore[assignment]
            if not request.may_take(backend):
                continue
            usable += 1
            worth = backend.share() * heard.seat.success(request.now)
            load = (heard.in_flight + 1) / worth
            if idlest is None or load < least_load:
                idlest, least_load = backend, load
            if per_weight(heard) <= limit:
                latency = heard.latency_s / worth
                if coldest is None or latency < least_latency:
                    coldest, least_latency = backend, latency
        if usable < 2:
            return None
        return idlest if coldest is None else coldest

    def hot_above(self) -> float:
        """The quantile of the requests in flight per weight, as heard of late: the least that so many do not exceed."""
        if not self.recent:
            return 0.0
        rank = self.quantile * len(self.recent)
        index = int(rank)
        if index > 0 and index >= rank:
            index -= 1
        return self.recent[index]

    def age(self, now: float) -> None:
        """Drop the answers that are too old."""
        while self.pool and now - self.pool[0].at > self.max_age_s:
            del self.pool[0]

    def began(self, request: Pick, backend: Backend) -> None:
        """Count the request in the backend's answer, drop one that is not good any more, and want new ones."""
        for at, heard in enumerate(self.pool):
            if heard.seat.backend is backend:
                heard.in_flight += 1
                heard.uses -= 1
                if heard.uses <= 0:
                    del self.pool[at]
                break
        if 2 * len(self.pool) > self.keep:
            del self.pool[self.worst(request.now) if self.drop_worst else 0]
            self.drop_worst = not self.drop_worst
        self.want(request)

    def worst(self, now: float) -> int:
        """Which answer is the last that would be chosen: the hottest, or else the slowest of the cold."""
        limit = self.hot_above()
        worst = 0
        worst_hot = False
        worst_value = -1.0
        for at, heard in enumerate(self.pool):
            value = per_weight(heard)
            hot = value > limit
            if not hot:
                value = heard.latency_s / max(heard.seat.backend.share(), 1) / heard.seat.success(now)  # type: ignore[union-attr]
            if (hot and not worst_hot) or (hot == worst_hot and value > worst_value):
                worst, worst_hot, worst_value = at, hot, value
        return worst

    def want(self, request: Pick) -> None:
        """Choose whom to ask for this request: distinct ones, all alike, that would be of use."""
        self.to_ask += self.per_request
        count = int(self.to_ask)
        if count == 0:
            return
        self.to_ask -= count
        for seat in self.deck.draw(request, self.seats, count):
            self.wanted.append(seat.backend)  # type: ignore[arg-type]
        if len(self.wanted) > MOST_WANTED:
            del self.wanted[:-MOST_WANTED]

    def targets(self) -> list[Backend]:
        """Whom to ask now; each is handed out once."""
        wanted, self.wanted = self.wanted, []
        return wanted

    def heard(self, backend: Backend, in_flight: int, latency_s: float, now: float) -> int:
        """A backend answered. in_flight, latency_s: UNKNOWN and UNKNOWN_S where it did not say. Returns 0."""
        seat = self.seat_of.get(backend)
        if seat is None:
            return 0
        if in_flight < 0:
            in_flight = backend.count_in_flight()
        if latency_s < 0.0:
            latency_s = seat.response_s(self.together.mean_s(), now) * (in_flight + 1)
        for at, before in enumerate(self.pool):
            if before.seat is seat:
                del self.pool[at]
                break
        self.reuse_left += self.reuse
        uses_now = int(self.reuse_left)
        self.reuse_left -= uses_now
        fresh = Heard(seat, in_flight, latency_s, now, uses_now)
        self.pool.append(fresh)
        if len(self.pool) > self.keep:
            del self.pool[0]
        self.note(per_weight(fresh))
        return 0

    def note(self, load: float) -> None:
        """Take a number of requests in flight into the recent ones, in place of the oldest when they are full."""
        if len(self.arrivals) < RECENT:
            self.arrivals.append(load)
        else:
            del self.recent[self.rank(self.arrivals[self.oldest])]
            self.arrivals[self.oldest] = load
            self.oldest = (self.oldest + 1) % RECENT
        self.recent.insert(self.rank(load), load)

    def rank(self, load: float) -> int:
        """How many of the recent ones are smaller. Calls of `bisect` out of compiled code would cost three times it."""
        low, high = 0, len(self.recent)
        while low < high:
            middle = (low + high) >> 1
            other = self.recent[middle]
            if other < load:
                low = middle + 1
            else:
                high = middle
        return low


def per_weight(heard: Heard) -> float:
    """Its requests in flight per weight."""
    backend: Backend = heard.seat.backend  # type: ignore[assignment]
    return heard.in_flight * UNIT / max(backend.share(), 1)


def uses(per_request: float, keep: int, backends: int) -> float:
    """How many requests one answer may serve: the paper's b = max(1, (1 + delta) / ((1 - m/n) r_probe - r_remove)).

    That keeps the pool filled while answers are used, dropped, and made in vain for backends that are in the pool
    already. Where asking cannot keep up with that (few backends, or few probes), age alone limits a use, and `keep`.
    """
    gain = (1.0 - min(keep / max(backends, 1), 1.0)) * per_request - DROPPED
    return min(max(1.0, (1.0 + GROWTH) / gain), float(keep)) if gain > 0.0 else float(keep)


register(
    "prequal",
    Prequal,
    "backends are asked for their load; of those not too loaded the quickest",
    ("decay_s", "quantile", "probe"),
    ours=True,
)
