"""What the hashing policies share: equal keys go to the same backend, and what happens when that one may not be taken.

A policy says which backend a key finds (`find`). When that one may not be taken, the key is mixed with 1, 2, 3... and
looks again; so each key has its own sequence of backends and goes to the first of it that may be taken. From that
follows what all of them promise: when a backend becomes unavailable its own keys move, spread over all the others, and
no other key does; when it comes back they come back. A key that found nobody so gets a look at everyone, which is a
function of the key too. In a pool of more than SMALL a key that has met CROWD full ones is drawn for by chance instead:
it is so hot that it has filled them itself, and more of its sequence would be more of the same.

Bounded loads (`bound`, c): a backend is passed over as well while it has ceil(c (m + 1) w / W) requests in flight, m
being what is in flight in the tier and W the weight of all that take requests. So the load of none goes above c times
its share of the average; as all workers' requests count, two that pick in the same instant may overshoot by one each.
Where all that have room are full or tried, the average is that of the rest, for somebody has to take the request.

A request without a key (the header is absent) goes to anyone, by chance and weight: such requests share nothing that
would be worth keeping together.
Source: Mirrokni, Thorup and Zadimoghaddam, arXiv 1608.01350 (bounded loads); Chen, Coleman and Shrivastava, arXiv
1908.08762 (jumping and not walking on, so that an overflow does not fall on one neighbour and then on the next).
"""

from collections.abc import Sequence
from math import inf, log
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.line import Line, by_share
from steelyard.core.policy import Pick, Policy
from steelyard.core.spec import PolicySpec
from steelyard.core.stable import mix, unit
from steelyard.core.table import Table
from steelyard.core.watch import Watch

COMPILED: Final = not __file__.endswith(".py")
IN_FLIGHT: Final = cells.IN_FLIGHT
SMALL: Final = 64  # as many may be looked at for one request
JUMPS: Final = 32  # while a tenth may be taken, 97 % of the keys find one so
CROWD: Final = 8  # while half are full, 1 key in 256 meets as many by bad luck
# c is counted in millionths, so that 1.1 x 10 is 11: products of whole numbers up to 2^53 are exact as C doubles.
MILLION: Final = 1e6


class Keyed(Policy):
    """A policy that hashes. Subclasses say in `find` whose a key is, and in `arrange` what they need for that."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        # Below 1 there need not be anybody with room.
        self.bound = 0.0 if spec.bound is None else max(MILLION, round(spec.bound * MILLION))
        self.due = 0.0
        self.whole = 0.0
        self.small = True
        self.crowd = 0
        self.watch = Watch(table, row)
        self.takers: list[Backend] = []
        self.shares = 0
        self.line: Line | None = None

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Take note of who exists."""
        self.backends = list(backends)
        self.small = len(self.backends) <= SMALL
        self.watch.forget()
        self.arrange()

    def arrange(self) -> int:
        """Make ready for the backends as they are now. Returns 0."""
        return 0

    def find(self, request: Pick, key: int) -> Backend | None:
        """Whose that key is; None when it finds nobody that `accepts` the request, which is no proof."""
        raise NotImplementedError(f"{type(self).__name__} must say whose a key is")

    def pick(self, request: Pick) -> Backend | None:
        """The first backend of the key's sequence that may be taken."""
        if self.bound > 0.0:
            self.look(request.panic)
            self.due = self.bound * (self.table.total(self.row, IN_FLIGHT) + 1)
            self.whole = self.shares * MILLION
        if request.key == 0:
            return self.by_chance(request)
        self.crowd = 0
        key = request.key
        for jump in range(1, JUMPS + 1):
            backend = self.find(request, key)
            if backend is not None:
                return backend
            if self.small:
                break
            if self.crowd >= CROWD:
                backend = self.by_draws(request)
                if backend is not None:
                    return backend
                break
            key = mix(request.key, jump)
        self.look(request.panic)
        return self.among(request.key, self.acceptable(request))

    def among(self, key: int, candidates: list[Backend]) -> Backend | None:
        """Whose the key is as if only those existed; None when there are none. A look at every one."""
        best: Backend | None = None
        best_at = inf
        for backend in candidates:
            at = rings_at(mix(key, backend.key), backend.share())
            if best is None or at < best_at:
                best, best_at = backend, at
        return best

    def by_chance(self, request: Pick) -> Backend | None:
        """Anyone that may be taken, by weight; None when there is none."""
        backend = self.by_draws(request)
        if backend is not None:
            return backend
        line = by_share(self.acceptable(request))
        return None if line.length == 0 else line.owner(request.below(line.length))

    def by_draws(self, request: Pick) -> Backend | None:
        """Some draws by weight; None when they found nobody that may be taken."""
        self.look(request.panic)
        line = self.all_takers()
        if line.length == 0:
            return None
        for _ in range(JUMPS):
            backend = line.owner(request.below(line.length))
            if self.accepts(request, backend):
                return backend
        return None

    def accepts(self, request: Pick, backend: Backend) -> bool:
        """Whether that backend may be taken, and has room; one that does not for being full counts for the crowd."""
        if request.may_take(backend) and (self.bound == 0.0 or self.has_room(backend)):
            return True
        self.crowd += backend.takes_requests(request.panic)
        return False

    def has_room(self, backend: Backend) -> bool:
        """Whether one request more leaves it within its capacity; asked for the request that `pick` last saw.

        A whole number is below ceil(x) just when it is below x, so nothing has to be rounded.
        """
        return backend.count_in_flight() * self.whole < self.due * backend.share()

    def acceptable(self, request: Pick) -> list[Backend]:
        """All that may be taken and have room; where none of them has, those within the average of the rest."""
        able = [backend for backend in self.takers if request.may_take(backend)]
        if self.bound == 0.0:
            return able
        roomy = [backend for backend in able if self.has_room(backend)]
        if roomy:
            return roomy
        in_flight = shares = 0
        for backend in able:
            in_flight += backend.count_in_flight()
            shares += backend.share()
        self.due = self.bound * (in_flight + 1)
        self.whole = shares * MILLION
        return [backend for backend in able if self.has_room(backend)]

    def look(self, panic: bool) -> int:
        """See who takes requests now, be they full or not, where anything about that has changed. Returns 0."""
        if self.watch.stale(panic):
            self.takers = [backend for backend in self.backends if backend.takes_requests(panic)]
            self.line = None
            self.shares = 0
            for backend in self.takers:
                self.shares += backend.share()
        return 0

    def all_takers(self) -> Line:
        """Those that take requests, end to end; made when it is first asked for."""
        if self.line is None:
            self.line = by_share(self.takers)
        return self.line


def rings_at(bits: int, rate: float) -> float:
    """When an alarm set by these random bits rings, which at that rate happens 1 / rate later on average.

    Of several alarms the one of rate w rings first with the chance w / (sum of all w), and a changed rate moves no
    other alarm: so "the first to ring" chooses by weight and moves only what it must.
    Source: Schindelhauer and Schomaker (SPAA 2005); rendezvous: Thaler and Ravishankar.
    """
    if rate <= 0.0:
        return inf
    if COMPILED:  # pragma: no cover (coverage sees only the interpreted run)
        return -c_log(unit(bits)) / rate  # type: ignore[name-defined,no-any-return] # noqa: F821 (keyed.pxd)
    return -log(unit(bits)) / rate


def in_order(backends: Sequence[Backend]) -> tuple[list[Backend], list[int]]:
    """The backends of a share above 0 by their keys, with those keys; so the pool's order does not matter.

    One that is there twice gets a second key the second time.
    """
    by_key: dict[int, Backend] = {}
    for backend in backends:
        if backend.share() > 0:
            key = backend.key
            while key in by_key:
                key = mix(key, key)
            by_key[key] = backend
    keys = sorted(by_key)
    return [by_key[key] for key in keys], keys
