"""Circuit breaker: closed lets requests through, open stops them, half-open tries one at a time whether it works again.

Pure: it is told what came of requests and says what becomes of the circuit. One breaker holds the rules; the circuits
lie in the shared table, one for each backend or one for a whole pool, so that all workers have the same. A circuit is
one cell: the state in its lowest bits, of which the very lowest says that no request goes there, and a time above
them; between the two how many trials in a row have passed. While it is open the time says until when. While a trial is
out it says when that is given up as lost, since the worker that had it may be dead. Every change is a compare-and-swap,
so of two workers that want the one trial one gets it, and a trial whose time was over has nothing to say any more.

It opens when so many requests in a row failed, when too large a share of a window's failed, or when too large a share
was slow. A window begins with a failure and has no tick: to succeed costs two loads.

The table is the whole machine. The picture in the documentation is drawn from it.
Source: Nygard, Release It! (the pattern), linkerd2-proxy `consecutive_failures.rs` (one probe), Resilience4j (rates).
"""

from enum import Enum
from math import ceil, inf
from typing import Final

from steelyard.core import table as cells
from steelyard.core.spec import BreakerSpec
from steelyard.core.table import Table
from steelyard.core.tally import before_it, ended_since, failed_since, pack, tally

REQUESTS: Final = cells.REQUESTS
FAILURES: Final = cells.FAILURES
SLOW: Final = cells.SLOW
TRIPS: Final = cells.TRIPS
IN_A_ROW: Final = cells.IN_A_ROW
RATES_SINCE: Final = cells.RATES_SINCE
RATES_FROM: Final = cells.RATES_FROM
SLOW_FROM: Final = cells.SLOW_FROM
STATE_BITS: Final = cells.CIRCUIT_BITS
PASSED_SHIFT: Final = cells.PASSED_SHIFT
PASSED_BITS: Final = cells.PASSED_BITS
TIME_SHIFT: Final = cells.CIRCUIT_SHIFT
STOPS: Final = cells.STOPS
OFF: Final = -1.0


class State(Enum):
    """How a circuit stands; in the order of the numbers that the table's cells hold."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"  # one request may try
    TRYING = "half-open, and the trial is out"


class Event(Enum):
    """What happened to it."""

    TRIPPED = "too many failed, or were slow"
    WAITED = "its time is over"
    ADMITTED = "a request is let through as a trial"
    PASSED = "the trial was answered well"
    ROSE = "the trial was answered well, the last one needed"
    FAILED = "the trial failed, or was slow"
    UNDECIDED = "the trial ended without a verdict: the client left"


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.CLOSED: {**dict.fromkeys(Event, State.CLOSED), Event.TRIPPED: State.OPEN},
    State.OPEN: {**dict.fromkeys(Event, State.OPEN), Event.WAITED: State.HALF_OPEN},
    State.HALF_OPEN: {**dict.fromkeys(Event, State.HALF_OPEN), Event.ADMITTED: State.TRYING},
    State.TRYING: {
        Event.TRIPPED: State.TRYING,
        Event.WAITED: State.HALF_OPEN,
        Event.ADMITTED: State.TRYING,
        Event.PASSED: State.HALF_OPEN,
        Event.ROSE: State.CLOSED,
        Event.FAILED: State.OPEN,
        Event.UNDECIDED: State.HALF_OPEN,
    },
}

LETS_THROUGH: Final = frozenset({State.CLOSED, State.HALF_OPEN})

_STATES: Final = tuple(State)


def state_of(circuit: int) -> State:
    """What a circuit's cell says."""
    return _STATES[circuit & STATE_BITS]


def ends_at_s(circuit: int) -> float:
    """When an open circuit, or the wait for a trial, is over, in monotonic seconds; infinite for one that waits not."""
    return (circuit >> TIME_SHIFT) / 1000 if circuit & STOPS else inf


def passed_of(circuit: int) -> int:
    """How many trials in a row have passed."""
    return circuit >> PASSED_SHIFT & PASSED_BITS


def move(table: Table, row: int, cell: int, circuit: int, event: Event, until_ms: int = 0, passed: int = 0) -> int:
    """Go where the table of transitions says, for all workers. until_ms: of a state that has a time.

    passed: trials in a row, of a state that counts them.

    Returns what the cell holds now; `circuit` where the event means nothing, or somebody was faster.
    """
    was = state_of(circuit)
    state = TRANSITIONS[was][event]
    after = until_ms << TIME_SHIFT | passed << PASSED_SHIFT | _STATES.index(state)
    if state is was or not table.swap(row, cell, circuit, after):
        return circuit
    return after


def wait_is_over(table: Table, row: int, cell: int, circuit: int, now: float) -> bool:
    """Let a trial through where the time for it has come; whether we did, and not another worker."""
    if not circuit & STOPS or now < ends_at_s(circuit):
        return False
    return move(table, row, cell, circuit, Event.WAITED) != circuit


class Breaker:
    """The rules of the circuits of one kind. cell: where in a row a circuit is.

    of_pool: the row is that of a pool's first tier, whose counts of requests and failures are made here; of a
    backend's row they are those that are there. longest_s: until a request is answered or has failed, at most.
    """

    def __init__(self, spec: BreakerSpec, table: Table, cell: int, of_pool: bool, longest_s: float = 0.0) -> None:
        self.table = table
        self.cell = cell
        self.of_pool = of_pool
        self.most_in_a_row = spec.consecutive_failures or 0
        self.error_rate = OFF if spec.error_rate is None else spec.error_rate
        self.slow_call_s = inf if spec.slow_call_s is None else spec.slow_call_s
        self.slow_rate = spec.slow_rate
        self.rated = spec.error_rate is not None or spec.slow_call_s is not None
        self.min_requests = spec.min_requests
        self.window_ms = ceil(spec.window_s * 1000)
        self.open_for_s = spec.open_for_s
        # Given up sooner, one that is only slow would have nothing to say, and a second one would be out beside it.
        self.lost_after_s = max(spec.open_for_s, longest_s)
        self.trials = spec.trials

    def circuit(self, row: int) -> int:
        """The cell of that circuit."""
        return self.table.get(row, self.cell)

    def note(self, row: int, failed: bool, latency_s: float, now: float) -> str:
        """A request ended that was no trial; what it did to the circuit in words, mostly nothing."""
        slow = latency_s >= self.slow_call_s
        if slow:
            self.table.add_mine(row, SLOW, 1)
        if self.of_pool:
            self.table.add_mine(row, REQUESTS, 1)
            if failed:
                self.table.add_mine(row, FAILURES, 1)
        if self.circuit(row) != 0:  # it began before: its end is old news
            return ""
        if failed:
            runs = self.table.fetch_add(row, IN_A_ROW, 1) + 1
            if 0 < self.most_in_a_row <= runs:
                return self.trip(row, f"{runs} failures in a row" if runs > 1 else "a failure", now)
        elif self.table.get(row, IN_A_ROW) != 0:
            self.table.set(row, IN_A_ROW, 0)
        if (failed or slow) and self.rated:
            why = self.too_many(row, failed, slow, now)
            if why:
                return self.trip(row, why, now)
        return ""

    def too_many(self, row: int, failed: bool, slow: bool, now: float) -> str:
        """Whether too large a share of a window failed or was slow, in words. failed, slow: what has just ended."""
        now_ms = int(now * 1000)
        counted, were_slow = self.counted(row), self.table.total(row, SLOW)
        since = self.table.get(row, RATES_SINCE)
        if now_ms >= since + self.window_ms:
            # First the counts and then the time: who sees that the window is new finds what it began with.
            self.begin_window(row, before_it(counted, failed), were_slow - slow)
            self.table.swap(row, RATES_SINCE, since, now_ms)
        began = self.table.get(row, RATES_FROM)
        ended = ended_since(counted, began)
        if ended < self.min_requests:
            return ""
        failures = failed_since(counted, began)
        if 0.0 <= self.error_rate * ended <= failures:
            return f"{failures} of {ended} requests failed"
        were_slow -= self.table.get(row, SLOW_FROM)
        if slow and were_slow >= self.slow_rate * ended:
            return f"{were_slow} of {ended} answers took {self.slow_call_s:g} s or longer"
        return ""

    def counted(self, row: int) -> int:
        """The tally of what its rates are of."""
        if self.of_pool:
            return pack(self.table.total(row, REQUESTS), self.table.total(row, FAILURES))
        return tally(self.table, row)

    def begin_window(self, row: int, counted: int, were_slow: int) -> None:
        """Count from there."""
        self.table.set(row, RATES_FROM, counted)
        self.table.set(row, SLOW_FROM, were_slow)

    def trip(self, row: int, why: str, now: float) -> str:
        """Open a closed circuit; that in words, or nothing where another worker was faster."""
        return self.open(row, 0, Event.TRIPPED, why, now)

    def open(self, row: int, circuit: int, event: Event, why: str, now: float) -> str:
        """Open it for its time."""
        if move(self.table, row, self.cell, circuit, event, ceil((now + self.open_for_s) * 1000)) == circuit:
            return ""
        self.table.set(row, IN_A_ROW, 0)
        self.table.add_mine(row, TRIPS, 1)
        return f"circuit open for {self.open_for_s:g} s: {why}"

    def admit(self, row: int, now: float) -> int:
        """Let a request through as the one trial of a half-open circuit; 0 where it may not be.

        Returns what `decide` wants to be told. A trial that never ends is given up after `lost_after_s`.
        """
        circuit = self.circuit(row)
        until_ms = ceil((now + self.lost_after_s) * 1000)
        trial = move(self.table, row, self.cell, circuit, Event.ADMITTED, until_ms, passed_of(circuit))
        return 0 if trial == circuit else trial

    def decide(self, row: int, trial: int, failed: bool, latency_s: float, now: float) -> str:
        """The trial has ended; what that did to the circuit in words: nothing where there are more trials to come.

        trial: what `admit` returned. Neither failed nor with a latency (below 0), it says nothing.
        """
        if failed:
            return self.open(row, trial, Event.FAILED, "the trial failed", now)
        if latency_s >= self.slow_call_s:
            return self.open(row, trial, Event.FAILED, f"the trial took {self.slow_call_s:g} s or longer", now)
        if latency_s < 0.0:
            move(self.table, row, self.cell, trial, Event.UNDECIDED, 0, passed_of(trial))
            return ""
        passed = passed_of(trial) + 1
        if passed < self.trials:
            move(self.table, row, self.cell, trial, Event.PASSED, 0, passed)
            return ""
        if self.circuit(row) != trial:  # given up as lost
            return ""
        # Before the circuit closes: what has opened it is not to be counted again.
        self.begin_window(row, self.counted(row), self.table.total(row, SLOW))
        self.table.set(row, IN_A_ROW, 0)
        return "" if move(self.table, row, self.cell, trial, Event.ROSE) == trial else "circuit closed"
