"""One tier of a pool: backends of the same rank, the policy that chooses among them, and when to believe checks.

A pool has one tier, unless some backends are for the case that others fail. The tier notices what has changed (any
worker, the control process or an operator may have changed it) by one cell, GENERATION, that goes up each time:
then it counts who is healthy, moves slow starts on, and tells the policy when a share of the weights is another one.

Panic: when fewer than a threshold of the members are healthy, it is likelier that the checks are wrong, or that the
few would drown, than that most servers broke at once; then those count as up that answer their checks wrongly. One
that does not answer at all is never picked: that would cost a try, or a timeout, and help nobody. A tier that has
nobody healthy left does not panic while one behind it has somebody: that is what the other one is for.
Who is ejected counts as one that answers its checks wrongly. An open circuit stays open.

Ejections and open circuits are for a time. Whoever looks first after it is over puts the backend back, for all.

Slow start: a backend that comes back gets weight x max(0.1, (t/T)^(1/aggression)), in STEPS steps, so that caches
fill before the crowd comes. Not at the start of the program, when all are alike.
Source: Envoy (panic threshold 50 %, slow start).
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.breaker import State, ends_at_s, state_of, wait_is_over
from steelyard.core.policy import Pick, Policy
from steelyard.core.spec import PoolSpec
from steelyard.core.table import Table

GENERATION: Final = cells.GENERATION
CIRCUIT: Final = cells.CIRCUIT
STEPS: Final = 20  # of a slow start: every worker takes the same ones, and each rebuilds the policy
LEAST: Final = 0.1  # of its weight: less would tell nothing about it
NEVER_SEEN: Final = -1


class Tier:
    """Backends of the same rank. row: its row of shared cells.

    healthy: how many of its members were, and not ejected, at the last look; panicking: those were too few.
    spare: the tier behind it. tell: what is called when a backend comes back, or may be tried again.
    """

    def __init__(self, spec: PoolSpec, table: Table, row: int, backends: Sequence[Backend], policy: Policy) -> None:
        self.table = table
        self.row = row
        self.policy = policy
        self.spare: Tier | None = None
        self.tell: Callable[[Backend, str], None] | None = None
        self.healthy = 0
        self.panicking = False
        self.next_at = inf
        self.adopt(spec, backends)

    def adopt(self, spec: PoolSpec, backends: Sequence[Backend]) -> None:
        """Consist of these backends from now on."""
        self.backends = tuple(backends)
        self.panic_threshold = spec.panic_threshold
        self.window_s = 0.0 if spec.slow_start is None else spec.slow_start.window_s
        self.exponent = 1.0 if spec.slow_start is None else 1.0 / spec.slow_start.aggression
        self.generation = NEVER_SEEN  # the next request looks: here there is no clock for slow starts that go on
        self.shares = [backend.share() for backend in self.backends]
        self.policy.rebuild(self.backends)

    def pick(self, request: Pick) -> Backend | None:
        """The policy's choice; None when nobody of this tier can be picked."""
        self.look(request.now)
        request.panic = self.panicking and self.panics(request.now)
        return self.policy.pick(request)

    def panics(self, now: float) -> bool:
        """Whether those count as up that answer their checks wrongly."""
        self.look(now)
        return self.panicking and (self.healthy > 0 or self.spare is None or not self.spare.has_healthy(now))

    def has_healthy(self, now: float) -> bool:
        """Whether somebody of this tier, or of one behind it, is healthy."""
        self.look(now)
        return self.healthy > 0 or (self.spare is not None and self.spare.has_healthy(now))

    def look(self, now: float) -> int:
        """See what has changed, if anything has. Returns 0."""
        if self.table.get(self.row, GENERATION) != self.generation or now >= self.next_at:
            self.refresh(now)
        return 0

    def refresh(self, now: float) -> None:
        """Look at every backend, since something about one has changed, or a slow start goes on."""
        self.next_at = inf
        members = healthy = 0
        # Read before the backends are: what changes from here on is for the next look, but for our own changes.
        self.generation = self.table.get(self.row, GENERATION)
        for backend in self.backends:
            if backend.ejected_until_ms() != 0 or backend.circuit() != 0:
                self.bring_back(backend, now)
            backend.see_ejection()
            if backend.up_since_s() > 0.0:
                self.ramp(backend, now)
            if backend.is_member():
                members += 1
                healthy += backend.is_healthy() and backend.ejected_until_ms() == 0
        self.healthy = healthy
        self.panicking = healthy < members * self.panic_threshold
        shares = [backend.share() for backend in self.backends]
        if shares != self.shares:
            self.shares = shares
            self.policy.rebuild(self.backends)

    def bring_back(self, backend: Backend, now: float) -> None:
        """Put a backend back, or let its circuit be tried, where the time is over; else note when it will be."""
        if backend.put_back(now, self.window_s > 0.0):
            self.generation += 1
            self.say(backend, "back after ejection")
        elif backend.ejected_until_ms() != 0:
            self.next_at = min(self.next_at, backend.ejected_until_ms() / 1000)
        circuit = backend.circuit()
        if wait_is_over(self.table, backend.row, CIRCUIT, circuit, now):
            backend.announce()
            self.generation += 1
            lost = "" if state_of(circuit) is State.OPEN else ": the trial was lost"
            self.say(backend, f"circuit half-open{lost}")
        else:
            self.next_at = min(self.next_at, ends_at_s(backend.circuit()))

    def say(self, backend: Backend, what: str) -> None:
        """Tell, where somebody listens."""
        if self.tell is not None:
            self.tell(backend, what)

    def ramp(self, backend: Backend, now: float) -> None:
        """Give a backend that came back as much of its weight as it is time for."""
        step = STEPS if self.window_s <= 0.0 else int((now - backend.up_since_s()) / self.window_s * STEPS)
        if step >= STEPS:
            share = backend.weight * cells.WEIGHT_UNIT
            backend.settle()
        else:
            step = max(step, 0)
            share = self.share_at(backend, step)
            if backend.share() == self.share_at(backend, step + 1):
                share = backend.share()  # another worker's clock is ahead: to take it back would make two take turns
            self.next_at = min(self.next_at, backend.up_since_s() + (step + 1) * self.window_s / STEPS)
        if share != backend.share():
            backend.set_share(share)
            self.generation += 1

    def share_at(self, backend: Backend, step: int) -> int:
        """What counts of its weight at this step of a slow start."""
        full: int = backend.weight * cells.WEIGHT_UNIT
        return max(1, int(full * max(LEAST, (step / STEPS) ** self.exponent))) if full else 0
