"""The circuit breakers of a pool: one for each backend, one for the pool as a whole, either or none.

Where a circuit is half-open one request at a time may try. That request carries its trial from `acquire` on, and the
head of its answer decides, or the end of the try where there is none; every other request is only counted. It must be
whole: else its client could keep the trial for as long as it likes. A request may carry several: of the pool and of a
backend, and of two backends while it is hedged. The pool's own circuit goes by what clients get: it is told of the last
try of each request.
Source: core/breaker.py has the rules of one circuit.
"""

from collections.abc import Callable
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.breaker import Breaker, Event, State, move, passed_of, state_of, wait_is_over
from steelyard.core.policy import Pick
from steelyard.core.spec import PoolSpec
from steelyard.core.table import Table

CIRCUIT: Final = cells.CIRCUIT
POOL_CIRCUIT: Final = cells.POOL_CIRCUIT
NO_TRIAL: Final = 0
REFUSED: Final = -1


class Circuits:
    """each: the rules for every backend; whole: for the pool; None where there are none. row: that of its first tier.

    tell: called with what happened in words, and to which backend; None is the pool itself.
    """

    def __init__(self, spec: PoolSpec, table: Table, row: int, tell: Callable[[Backend | None, str], None]) -> None:
        self.table = table
        self.row = row
        self.tell = tell
        longest_s = longest_trial_s(spec)
        each, whole = spec.circuit_breaker, spec.pool_circuit_breaker
        self.each = None if each is None else Breaker(each, table, CIRCUIT, False, longest_s)
        self.whole = None if whole is None else Breaker(whole, table, POOL_CIRCUIT, True, longest_s)
        self.some = self.each is not None or self.whole is not None

    def lift(self, backends: tuple[Backend, ...]) -> None:
        """Close what nobody looks after any more.

        Every worker does, so that it does not matter which of them goes by the old rules for longest.
        """
        if self.each is None:
            for backend in backends:
                if backend.close_circuit():
                    self.tell(backend, "circuit closed: there is no breaker any more")
        if self.whole is None and self.table.get(self.row, POOL_CIRCUIT) != 0:
            self.table.set(self.row, POOL_CIRCUIT, 0)
            self.tell(None, "circuit closed: there is no breaker any more")

    def circuit(self) -> int:
        """The cell of the pool's own circuit; 0 while it is closed, or where there is none."""
        return 0 if self.whole is None else self.whole.circuit(self.row)

    def enter(self, request: Pick) -> int:
        """Pass the pool's own circuit: NO_TRIAL while it is closed, the trial, or REFUSED."""
        if self.whole is None:
            return NO_TRIAL
        circuit = self.whole.circuit(self.row)
        if circuit == 0 or self.carries(request, None):
            return NO_TRIAL
        if wait_is_over(self.table, self.row, POOL_CIRCUIT, circuit, request.now) and state_of(circuit) is State.OPEN:
            self.tell(None, "circuit half-open")
        if not request.whole:
            return REFUSED
        trial = self.whole.admit(self.row, request.now)
        # Closed meanwhile, by another worker: so late that it may be sent away once more.
        return REFUSED if trial == NO_TRIAL else trial

    def go_back(self, trial: int) -> int:
        """A request that has passed finds no backend: its trial is somebody else's. Returns 0."""
        if trial != NO_TRIAL:
            move(self.table, self.row, POOL_CIRCUIT, trial, Event.UNDECIDED, 0, passed_of(trial))
        return 0

    def lets_through(self, request: Pick, backend: Backend) -> bool:
        """Pass a backend's circuit, with its trial where it is half-open; False when that is not for this request."""
        if self.each is None or backend.circuit() == 0:
            return True
        if not request.whole:
            return False
        trial = self.each.admit(backend.row, request.now)
        if trial == NO_TRIAL:
            return False
        backend.announce()
        self.carry(request, backend, backend.row, trial)
        return True

    def carries(self, request: Pick, backend: Backend | None) -> bool:
        """Whether the request is a trial of this backend, or of the pool (None)."""
        if request.trials is None:
            return False
        return len([one for one in request.trials if one[0] is backend]) > 0

    def carry(self, request: Pick, backend: Backend | None, row: int, trial: int) -> None:
        """Let the request carry a trial: of this backend, or of the pool (None). row: of the circuit."""
        if request.trials is None:
            request.trials = []
        request.trials.append((backend, row, trial))

    def answered(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        """The head of an answer is there: that decides, whatever the client does with the rest.

        failed: by its status; whether the pool has failed by that, another try may show.
        """
        self.decide(request, backend, failed, latency_s, now)
        if not failed:
            self.decide(request, None, False, latency_s, now)

    def ended(
        self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float, final: bool = True
    ) -> None:
        """A try ended: decide by those that it was a trial of, and count it for the others. final: the request too."""
        tried_backend = self.decide(request, backend, failed, latency_s, now)
        tried_whole = self.decide(request, None, failed, latency_s, now) if final else False
        if not failed and latency_s < 0.0:
            return
        if self.each is not None and not tried_backend:
            what = self.each.note(backend.row, failed, latency_s, now)
            if what:
                backend.announce()
                self.tell(backend, what)
        if self.whole is not None and final and not tried_whole:
            self.say(None, self.whole.note(self.row, failed, latency_s, now))

    def decide(self, request: Pick, backend: Backend | None, failed: bool, latency_s: float, now: float) -> bool:
        """Decide by the trials of this backend, or of the pool (None), that the request carries; False without any."""
        if request.trials is None:
            return False
        held = [one for one in request.trials if one[0] is backend]
        if not held:
            return False
        request.trials = [one for one in request.trials if one[0] is not backend] or None
        rules = self.whole if backend is None else self.each
        for _, row, trial in held:
            if rules is not None:
                self.say(backend, rules.decide(row, trial, failed, latency_s, now))
        if backend is not None:
            backend.announce()
        return True

    def say(self, backend: Backend | None, what: str) -> None:
        """Tell, if there is something to tell."""
        if what:
            self.tell(backend, what)


def longest_trial_s(spec: PoolSpec) -> float:
    """Until a request has the head of its answer, or has failed, at most.

    Every try may wait for a connection, and one for an answer: who was not answered in time is not asked again, but
    where tries have a time of their own.
    """
    tries = spec.retry.tries + spec.retry.same_backend
    if spec.retry.try_timeout_s is not None:
        return tries * spec.retry.try_timeout_s
    return tries * spec.timeouts.connect_s + spec.timeouts.response_s
