"""One facade for a pool: choose a backend or refuse, count what is in flight, believe or doubt who is up.

The only part of core that knows the others: tiers, health, ejection, circuit breakers, stickiness and retry budget meet
here and nowhere else.
A request that brings its cookie goes where it was; any other to the first tier that has somebody for it.
Every backend that `acquire` returns is given back by exactly one `release`; so when nothing is in flight, every
counter of it is 0.
A pool without a health check believes in all its backends for good: nobody else would bring one up again.
Source: Pingora's load-balancing crate (selection, health, discovery behind one facade).
"""

from collections.abc import Callable
from itertools import pairwise
from math import ceil, inf
from typing import Final

from steelyard.core import policies as _built_in  # noqa: F401 (registers them)
from steelyard.core import table as cells
from steelyard.core.adaptive import AdaptiveLimit
from steelyard.core.approaches import own
from steelyard.core.backend import Backend
from steelyard.core.breaker import Breaker, ends_at_s
from steelyard.core.circuits import Circuits
from steelyard.core.draft import NOTHING, Before, Draft
from steelyard.core.guard import Guarded, Outside
from steelyard.core.health import HealthMachine, State
from steelyard.core.outlier import Outliers
from steelyard.core.policy import UNKNOWN_S, Pick
from steelyard.core.retry import RetryBudget
from steelyard.core.rows import PoolRows, in_order, rows_needed
from steelyard.core.spec import PoolSpec
from steelyard.core.stable import stable_hash
from steelyard.core.sticky import Stickiness
from steelyard.core.table import Table
from steelyard.core.tier import Tier
from steelyard.errors import BREAKER_OPEN, FULL, NONE_UP, Kind, Phase

IN_FLIGHT: Final = cells.IN_FLIGHT
UP: Final = cells.UP
DOWN: Final = cells.DOWN
SILENT: Final = cells.SILENT
UNLIMITED: Final = -1
STOPS: Final = cells.STOPS
NO_STATUS: Final = 0
OVERTAKEN: Final = -1
NO_TRIAL: Final = 0
REFUSED: Final = -1
FULL_RETRY_AFTER_S: Final = 1  # requests end sooner than backends come back


class Refusal:
    """A reasoned no. kind: the row of errors.py. retry_after_s: when it is worth asking again, whole seconds."""

    def __init__(self, kind: Kind, retry_after_s: int) -> None:
        self.kind = kind
        self.retry_after_s = retry_after_s

    def __repr__(self) -> str:
        return f"<Refusal {self.kind.word}>"


class Pool:
    """Backends that can serve the same request, with one policy.

    rows: of the table, which are ours; or the first of as many as `rows_needed` says, in order.
    outside: what a policy that is not ours is watched with. policy: the first tier's.
    fresh: the rows are ours alone, and begin with the configured weights; else somebody has seen to that.
    reads_body: the request's body must be there before `acquire`, as far as it will be looked at.
    tell: called with what happened in words, and to which backend; None is the pool itself.
    """

    def __init__(
        self, spec: PoolSpec, table: Table, rows: PoolRows | int, outside: Outside | None = None, fresh: bool = True
    ) -> None:
        self.table = table
        self.outside = outside
        self.backends: tuple[Backend, ...] = ()
        self.tiers: tuple[Tier, ...] = ()
        self.tell: Callable[[Backend | None, str], None] | None = None
        self.outliers: Outliers | None = None
        self.spec: PoolSpec = spec
        self.machine = HealthMachine(1, 1)
        self.adaptive: AdaptiveLimit | None = None
        rows = in_order(spec, rows) if isinstance(rows, int) else rows
        self.retry = RetryBudget(spec.retry.budget, spec.retry.budget_floor, table, rows.tiers[0])
        draft = Draft(spec, table, rows, outside, fresh, NOTHING)
        while draft.advance(len(spec.backends)):
            pass
        self.adopt(draft)

    def draft(self, spec: PoolSpec, rows: PoolRows) -> Draft:
        """Begin another configuration of this pool, of the same name; the weights are in the table already."""
        backends = {backend.address: backend for backend in self.backends}
        tiers = {tier.row: tier for tier in self.tiers}
        before = Before(backends, tiers, self.spec.policy, self.sticky)
        return Draft(spec, self.table, rows, self.outside, False, before)

    def adopt(self, draft: Draft) -> None:
        """Serve by a draft that is done, from the next request on. What is in flight is released as ever.

        Live numbers, health and what policies have learnt stay with the backends that stay.
        """
        spec = draft.spec
        first_row = draft.tiers[0].row
        if spec.retry != self.spec.retry or first_row != self.retry.row:
            self.retry = RetryBudget(spec.retry.budget, spec.retry.budget_floor, self.table, first_row)
        self.spec = spec
        self.name = spec.name
        for backend, its_spec, rank in zip(draft.backends, spec.backends, draft.ranks, strict=True):
            backend.adopt(its_spec, rank)
        for was, backend in draft.moved:
            was.follow(backend)
        self.backends = tuple(draft.backends)
        self.tiers = tuple(draft.tiers)
        for tier, members in zip(self.tiers, draft.of_tier, strict=True):
            tier.spare = None
            tier.tell = self.say
            if tier in draft.kept:
                tier.adopt(spec, members)
        for tier, spare in pairwise(self.tiers):
            tier.spare = spare
        self.policy = self.tiers[0].policy
        self.key = spec.policy.key
        self.reads_body = self.policy.reads_body or (self.key is not None and self.key.startswith("body:"))
        self.sticky = draft.sticky
        self.judge_by(spec)
        check = spec.health_check
        self.checked = check is not None
        none_up_after_s = 1
        if check is not None:
            self.machine = HealthMachine(check.rise, check.fall)
            none_up_after_s = ceil(check.interval_s)  # before the next check nobody comes back
        self.max_in_flight = UNLIMITED if spec.max_in_flight is None else spec.max_in_flight
        self._adapt(spec)
        self.none_up = Refusal(NONE_UP, none_up_after_s)
        self.full = Refusal(FULL, FULL_RETRY_AFTER_S)

    def _adapt(self, spec: PoolSpec) -> None:
        """Begin, end, or go on to find the limit of what is in flight."""
        row = self.tiers[0].row
        if spec.adaptive_limit is None:
            self.adaptive = None
        elif self.adaptive is not None and self.adaptive.row == row:
            self.adaptive.adopt(spec.adaptive_limit)
        else:
            self.adaptive = AdaptiveLimit(spec.adaptive_limit, self.table, row)

    def judge_by(self, spec: PoolSpec) -> None:
        """Eject and break circuits by these rules from now on; what nobody looks after any more is lifted.

        Every worker lifts it, so that it does not matter which of them goes by the old rules for longest.
        """
        first = self.tiers[0].row
        self.outliers = None
        if spec.ejection is not None:
            self.outliers = Outliers(spec.ejection, self.table, first, self.backends)
        else:
            for backend in self.backends:
                if backend.pardon():
                    self.say(backend, "back: nobody is ejected any more")
        self.circuits = Circuits(spec, self.table, first, self.say)
        self.circuits.lift(self.backends)

    @staticmethod
    def rows_needed(spec: PoolSpec) -> int:
        """How many rows of the table a pool takes."""
        return rows_needed(spec)

    def acquire(self, request: Pick) -> Backend | Refusal:
        """Choose a backend for one try of a request and count it as in flight.

        The first try (nothing in `request.tried`) also pays into the retry budget. Pair every returned backend
        with exactly one `release`.
        """
        if request.tried is None and self.is_at_limit():
            return self.full if self.tiers[0].has_healthy(request.now) else self.refuse(request)
        circuits = self.circuits
        trial = circuits.enter(request)
        if trial == REFUSED:
            return self.wait_for(circuits.whole, ends_at_s(circuits.circuit()), request.now)
        if self.key is not None and request.key == 0:
            self.take_key(request, self.key)
        backend = self.choose(request)
        if backend is not None and not circuits.lets_through(request, backend):
            backend = self.choose_another(request, backend)
        if backend is None:
            circuits.go_back(trial)
            return self.refuse(request)
        if trial != NO_TRIAL:
            circuits.carry(request, None, self.tiers[0].row, trial)
        if not request.tried:
            self.retry.deposit(request.now)
        backend.begin()
        home = self.tiers[backend.tier]
        self.table.add_mine(home.row, IN_FLIGHT, 1)
        home.policy.began(request, backend)
        return backend

    def release(
        self,
        request: Pick,
        backend: Backend,
        failed: bool,
        now: float,
        latency_s: float = UNKNOWN_S,
        status: int = NO_STATUS,
        final: bool = True,
    ) -> int:
        """Count the end of a try, well or ill. Returns 0.

        failed: no answer came, or one that says that the backend cannot. now: monotonic seconds.
        latency_s: from `acquire` to the head of the answer, where one came. status: of that answer; OVERTAKEN where a
        hedge was quicker, and latency_s is how long this one was waited for. final: the request is over with it.
        Neither failed nor answered (the client left, or something of ours failed), it says nothing of the backend.
        """
        backend.finish(failed)
        bad = failed or status == OVERTAKEN  # who is overtaken again and again does not answer, as far as one can see
        if self.adaptive is not None and latency_s != UNKNOWN_S and not bad:  # to fail fast is no leisure
            self.adaptive.answered(latency_s, self.count_in_flight(), now)
        self.table.add_mine(backend.home, IN_FLIGHT, -1)
        if self.circuits.some or request.trials is not None:
            self.circuits.ended(request, backend, bad, latency_s, now, final)
        if not bad and latency_s < 0.0:
            backend.leave_unjudged()
        elif self.outliers is not None:
            gone = self.outliers.ended(request, backend, bad, status, now)
            if gone is not None:
                for ejected, what in gone:
                    self.say(ejected, what)
        # It may have left the pool since, and with it its tier.
        if backend.tier < len(self.tiers):
            home = self.tiers[backend.tier]
            if home.row == backend.home:
                home.policy.ended(request, backend, failed, latency_s, now)
        return 0

    def count_in_flight(self) -> int:
        """Requests in flight at all its backends, from all workers."""
        count = 0
        for tier in self.tiers:
            count += self.table.total(tier.row, IN_FLIGHT)
        return count

    def limit(self) -> int:
        """How many requests may be in flight, UNLIMITED without a limit (several workers may overshoot by one each)."""
        return self.max_in_flight if self.adaptive is None else self.adaptive.current()

    def is_at_limit(self) -> bool:
        """Whether no request can begin, as too many are in flight. One that is tried elsewhere has begun."""
        if self.max_in_flight == UNLIMITED and self.adaptive is None:
            return False
        return self.count_in_flight() >= self.limit()

    def choose(self, request: Pick) -> Backend | None:
        """The backend that the client was sent to before, else the choice of the first tier that has one."""
        if self.sticky is not None:
            backend = self.kept(request, self.sticky)
            if backend is not None:
                return backend
        for tier in self.tiers:
            backend = tier.pick(request)
            if backend is not None:
                return backend
        return None

    def choose_another(self, request: Pick, backend: Backend | None) -> Backend | None:
        """Choose again, since the trial of the chosen one is not for this request; a choice that lets it through.

        Where the trial is another's, it can be seen by now that the backend takes no request. One that is not whole
        could see none: for it the backend counts as tried meanwhile.
        """
        tried = request.tried
        for _ in self.backends:
            if not request.whole and backend is not None:
                request.tried = [*(request.tried or ()), backend]
            backend = self.choose(request)
            if backend is None or self.circuits.lets_through(request, backend):
                break
        else:
            backend = None
        request.tried = tried
        return backend

    def answered_head(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> int:
        """A try has got the head of its answer: trials are decided by that. failed: by its status. Returns 0."""
        if request.trials is not None:
            self.circuits.answered(request, backend, failed, latency_s, now)
        return 0

    def say(self, backend: Backend | None, what: str) -> None:
        """Tell, where somebody listens."""
        if self.tell is not None:
            self.tell(backend, what)

    def hold(self, backend: Backend, until_s: float, now: float) -> bool:
        """Leave a backend alone until then (monotonic seconds), as it has asked for by Retry-After; whether it is.

        False where ejection is off, where nobody else would be left, or too many are away already.
        """
        if self.outliers is None:
            return False
        was_away = backend.ejected_until_ms() != 0
        held = self.outliers.hold(backend, until_s, now)
        if held and not was_away:
            left_s = backend.ejected_until_ms() / 1000 - now
            self.say(backend, f"left alone for {left_s:.3g} s: it has asked for that")
        return held

    def circuit(self) -> int:
        """The circuit of the whole pool, as `Backend.circuit`; 0 while it is closed."""
        return self.circuits.circuit()

    def kept(self, request: Pick, sticky: Stickiness) -> Backend | None:
        """The backend that the client was sent to before, if it can be picked."""
        backend = sticky.find(request)
        if backend is None:
            return None
        home = self.tiers[backend.tier]
        request.panic = home.panics(request.now)
        return backend if request.may_take(backend) else None

    def set_weight(self, backend: Backend, weight: int) -> None:
        """Give a backend another weight from the next request on, for all workers; ValueError below 0."""
        backend.set_weight(weight)

    def policy_faults(self) -> int:
        """How often the fallback answered for a policy that is not ours (core/guard.py)."""
        watched = [own(tier.policy) for tier in self.tiers]
        return sum([policy.faults for policy in watched if isinstance(policy, Guarded)])

    def connect_failed(self, backend: Backend, now: float) -> bool:
        """A try could not connect: counts like a failed check. True when that took the backend down."""
        return self.checked and self.take_note(backend, "failed", False, now)

    def answered(self, backend: Backend, now: float) -> bool:
        """A try was answered: earlier failures are forgiven. True when that changed whether it is up (it cannot)."""
        return self.checked and not backend.is_settled() and self.take_note(backend, "answered", True, now)

    def has_other(self, request: Pick) -> bool:
        """Whether there is a backend that this request could get now. Looks at every one: for failures only."""
        circuit = self.circuit()
        if circuit & STOPS and request.now < ends_at_s(circuit) and not self.circuits.carries(request, None):
            return False
        for backend in self.backends:
            home = self.tiers[backend.tier]
            request.panic = home.panics(request.now)
            if request.may_take(backend):
                return True
        return False

    def bears_retry(self, kind: Kind, now: float) -> bool:
        """Whether the pool can bear one more try after a failure of this kind; counts it.

        Where that try is not made after all, since somebody was quicker, say so at once with `spared_retry`.
        """
        return self.is_free(kind) or self.retry.withdraw(now)

    def spared_retry(self, kind: Kind) -> int:
        """The try that `bears_retry` has just allowed after such a failure is not made. Returns 0."""
        return 0 if self.is_free(kind) else self.retry.put_back()

    def is_free(self, kind: Kind) -> bool:
        """Whether a try after such a failure costs the budget nothing.

        A connection that could not be opened has cost no backend anything, and where there are health checks it
        counts as a failed one, so that soon nobody asks there any more: the budget is for what reaches a backend.
        So it is for tasks, whose workers need not bear checks: a dead one must cost no task.
        """
        free: bool = (self.checked or self.spec.approaches) and kind.phase is Phase.CONNECT
        return free

    def mark_down(self, backend: Backend, now: float) -> bool:
        """Take a backend out until checks bring it back. True when it was up (and the pool has checks)."""
        return self.checked and self.take_note(backend, "condemned", False, now)

    def ended(self, backend: Backend, now: float) -> bool:
        """A backend's process is no more: it is down, also in a pool without checks. True when it was up."""
        return self.take_note(backend, "condemned", False, now)

    def returned(self, backend: Backend, now: float) -> bool:
        """A backend's new process is fit to serve: it is up at once, also in a pool without checks. True when it was
        not. What the process before has done is not held against it: it is not ejected, and its circuit is closed."""
        backend.pardon()
        backend.close_circuit()
        return self.take_note(backend, "rose", True, now)

    def probed(self, backend: Backend, ok: bool, now: float, answers: bool = False) -> bool:
        """A check ended. True when it brought the backend up or took it down. Asserts that the pool has checks.

        answers: of a failed one, that there was an answer, only not the right one.
        """
        assert self.checked, f"pool {self.name}: a check that nobody asked for"
        return self.take_note(backend, "passed" if ok else "failed", ok or answers, now)

    def take_note(self, backend: Backend, event: str, answers: bool, now: float) -> bool:
        """Feed a backend's machine, and tell all workers when that changes what it can be used for."""
        machine = self.machine
        while True:
            before = status, code = backend.health()
            machine.load(code)
            changed: bool = getattr(machine, event)()
            if machine.healthy:
                status = UP
            elif event != "answered":  # an old connection says nothing of new ones
                status = DOWN if answers else SILENT
            after = (status, machine.code)
            if after == before or backend.move(before, after, now):
                return changed

    def health_of(self, backend: Backend) -> State:
        """What is believed of a backend."""
        self.machine.load(backend.health()[1])
        return self.machine.state

    def take_key(self, request: Pick, name: str) -> int:
        """Hash what the pool's key names, once a request; absent and empty values leave the key 0. Returns 0."""
        value = request.get("path" if name == "url" else name)
        if value is not None and name == "path":
            value = value.partition("?")[0]
        if value:
            request.key = stable_hash(value)
        return 0

    def refuse(self, request: Pick) -> Refusal:
        """Why nobody could be picked: FULL when there is one who would have served if it were not full.

        BREAKER_OPEN when there is one who would have served if its circuit were not open.
        """
        free_at = inf
        for backend in self.backends:
            panic = self.tiers[backend.tier].panics(request.now)
            if request.has_tried(backend):
                continue
            if backend.takes_requests(panic):
                if request.whole or self.circuits.each is None or backend.circuit() == 0:
                    return self.full
                free_at = request.now
            if self.circuits.each is not None and backend.would_take(panic):
                free_at = min(free_at, ends_at_s(backend.circuit()))
        return self.none_up if free_at == inf else self.wait_for(self.circuits.each, free_at, request.now)

    def wait_for(self, rules: Breaker | None, free_at: float, now: float) -> Refusal:
        """A refusal until a breaker tries again; where that is not known, it is soon.

        rules: the breaker's, which is there. A trial that is out is decided long before it is given up.
        """
        assert rules is not None
        wait_s = 1.0 if free_at == inf else min(free_at - now, rules.open_for_s)
        return Refusal(BREAKER_OPEN, max(ceil(wait_s), 1))
