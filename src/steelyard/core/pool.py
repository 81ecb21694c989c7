"""One facade for a pool: choose a backend or refuse, count what is in flight, believe or doubt who is up.

The only part of core that knows the others: policy, health and retry budget meet here and nowhere else.
Every backend that `acquire` returns is given back by exactly one `release`; so when nothing is in flight, every
counter of it is 0.
A pool without a health check believes in all its backends for good: nobody else would bring one up again.
Source: Pingora's load-balancing crate (selection, health, discovery behind one facade).
"""

from math import ceil
from typing import Final

from steelyard.core import policies as _built_in  # noqa: F401 (registers them)
from steelyard.core.backend import Backend
from steelyard.core.health import HealthMachine
from steelyard.core.policy import Pick, create, stable_hash
from steelyard.core.retry import RetryBudget
from steelyard.core.spec import PoolSpec
from steelyard.core.table import Table
from steelyard.errors import FULL, NONE_UP, Kind, Phase

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

    first_row: of the `rows_needed(spec)` rows of the table that are ours: one for the pool, then the backends'.
    health: one machine a backend, in their order; empty without a health check.
    """

    def __init__(self, spec: PoolSpec, table: Table, first_row: int) -> None:
        self.spec = spec
        self.name = spec.name
        self.first_row = first_row
        self.backends = tuple(
            [Backend(backend, table, first_row + 1 + index) for index, backend in enumerate(spec.backends)]
        )
        self.policy = create(spec.policy, table, first_row)
        self.policy.rebuild(self.backends)
        self.key = spec.policy.key
        self.retry = RetryBudget(spec.retry.budget, spec.retry.budget_floor)
        check = spec.health_check
        self.checked = check is not None
        self.health: tuple[HealthMachine, ...] = ()
        self.unsettled: set[Backend] = set()  # of whom an answer is news: it saves the machine a call a request
        none_up_after_s = 1
        if check is not None:
            self.health = tuple([HealthMachine(check.rise, check.fall) for _ in self.backends])
            self.unsettled.update(self.backends)
            none_up_after_s = ceil(check.interval_s)  # before the next check nobody comes back
        self.none_up = Refusal(NONE_UP, none_up_after_s)
        self.full = Refusal(FULL, FULL_RETRY_AFTER_S)

    @staticmethod
    def rows_needed(spec: PoolSpec) -> int:
        """How many rows of the table a pool takes."""
        return 1 + len(spec.backends)

    def acquire(self, request: Pick) -> Backend | Refusal:
        """Choose a backend for one try of a request and count it as in flight.

        The first try (nothing in `request.tried`) also pays into the retry budget. Pair every returned backend
        with exactly one `release`.
        """
        if self.key is not None and request.key == 0:
            self.take_key(request, self.key)
        backend = self.policy.pick(request)
        if backend is None:
            return self.refuse(request)
        if not request.tried:
            self.retry.deposit(request.now)
        backend.begin()
        return backend

    def release(self, backend: Backend, failed: bool, now: float) -> int:
        """Count the end of a try, well or ill; now: monotonic seconds (no policy of today learns from it)."""
        return backend.finish(failed)

    def connect_failed(self, backend: Backend, now: float) -> bool:
        """A try could not connect: counts like a failed check. True when that took the backend down."""
        return self.checked and self.take_note(backend, "failed")

    def answered(self, backend: Backend, now: float) -> bool:
        """A try was answered: earlier failures are forgiven. True when that changed whether it is up (it cannot)."""
        return backend in self.unsettled and self.take_note(backend, "answered")

    def has_other(self, request: Pick) -> bool:
        """Whether there is a backend that this request could get now. Looks at every one: for failures only."""
        for backend in self.backends:
            if request.may_take(backend):
                return True
        return False

    def bears_retry(self, kind: Kind, now: float) -> bool:
        """Whether the pool can bear one more try after a failure of this kind; counts it.

        A connection that could not be opened has cost no backend anything, and where there are health checks it
        counts as a failed one, so that soon nobody asks there any more: the budget is for what reaches a backend.
        """
        if self.checked and kind.phase is Phase.CONNECT:
            return True
        return self.retry.withdraw(now)

    def mark_down(self, backend: Backend, now: float) -> bool:
        """Take a backend out until checks bring it back. True when it was up (and the pool has checks)."""
        return self.checked and self.take_note(backend, "condemned")

    def probed(self, backend: Backend, ok: bool, now: float) -> bool:
        """A check ended. True when it brought the backend up or took it down. Asserts that the pool has checks."""
        assert self.checked, f"pool {self.name}: a check that nobody asked for"
        return self.take_note(backend, "passed" if ok else "failed")

    def take_note(self, backend: Backend, event: str) -> bool:
        """Feed a backend's machine, and tell all workers when that changes whether it is up."""
        machine = self.health[backend.row - self.first_row - 1]
        changed: bool = getattr(machine, event)()
        if machine.settled:
            self.unsettled.discard(backend)
        else:
            self.unsettled.add(backend)
        if changed:
            backend.set_healthy(machine.healthy)
        return changed

    def take_key(self, request: Pick, name: str) -> int:
        """Hash what the pool's key names, once a request; absent and empty values leave the key 0. Returns 0."""
        value = request.get(name)
        if value is not None and name == "path":
            value = value.partition("?")[0]
        if value:
            request.key = stable_hash(value)
        return 0

    def refuse(self, request: Pick) -> Refusal:
        """Why nobody could be picked: FULL when there is one who would have served if it were not full."""
        for backend in self.backends:
            if backend.takes_requests() and not request.has_tried(backend):
                return self.full
        return self.none_up
