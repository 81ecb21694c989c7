"""Ejection: a backend that answers worse than the others is left alone for a while, judged by the traffic itself.

Three rules. So many errors in a row, as one worker sees them. So many among four times as many of the latest, while the
rest of the pool answers well: who fails half of its requests is out as soon as who fails them all. And once in a
window, all workers together: a success rate far below that of the others, for who fails a little but much more than
they do. A backend is never the last one to go, and there is a cap, since where many fail it is hardly their own fault.
Whoever is ejected again soon stays out longer.

Pure: it is told what came of each request, and says who is ejected and why. How the latest requests to a backend ended
lies in one cell of the worker's own, a bit each; while there is no error among them an answer costs one load. What all
must agree on lies in shared cells: until when a backend is left alone, and when the window ends. The cap is exact
whoever ejects at the same time: who has ejected counts again, and takes it back where that was one too many. There is
no tick: the release that sees that the window is over compares, and `Tier.refresh` puts back whose time is over.
Source: Envoy's outlier detection (rules and numbers); the second rule and MARGIN: docs/design/018.
"""

from collections.abc import Sequence
from math import ceil, inf, sqrt
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.policy import Pick
from steelyard.core.spec import EjectionSpec
from steelyard.core.table import Table
from steelyard.core.tally import ended_since, failed_since, tally

OUTCOMES: Final = cells.OUTCOMES
EJECTIONS: Final = cells.EJECTIONS
EJECTED: Final = cells.EJECTED
PENALTIES: Final = cells.PENALTIES
WINDOW: Final = cells.WINDOW
WINDOW_FROM: Final = cells.WINDOW_FROM
EARLIER_FROM: Final = cells.EARLIER_FROM

# Of the cell OUTCOMES: the latest ones, and above them how many gateway errors there were in a row.
LATEST_BITS: Final = 40
LATEST: Final = (1 << 40) - 1
MOST_ERRORS: Final = 20  # in a row: twice as many outcomes have a bit
# Among how many times as many of the latest, where the others answer well: of one that fails every other request by
# chance, the fifth error is among twenty in 998 of 1,000 cases, and among ten in 750 (binomial).
AMONG: Final = 4
MOST_GATEWAY_ERRORS: Final = 1000
# Of the cell PENALTIES: how often, and above that when the last time ends.
TIMES_BITS: Final = 8
TIMES: Final = 255

JITTER: Final = 0.1  # of a penalty: backends that went together do not come back together
STEPS: Final = 1000
WELL: Final = 100  # the others answer well where fewer than one in so many failed
DOUBT_S: Final = 0.1  # where they do not, that is looked at again after this time: to add them up costs a look at all
# How far a success rate must be below the mean, whatever the deviation: where nobody else fails, any failure at all is
# two deviations away. Of the 100 requests that a rate needs it is five, as many as in a row.
MARGIN: Final = 0.05
# So many are ejected for their rates at a time, as each costs two looks at all; the others go in the next window.
AT_ONCE: Final = 20
ROUNDING: Final = 1e-9  # 29 % of 100 are 29, and not a little less

Ejected = list[tuple[Backend, str]]


class Outliers:
    """The rules of one pool. row: that of its first tier. backends: all of the pool."""

    def __init__(self, spec: EjectionSpec, table: Table, row: int, backends: Sequence[Backend]) -> None:
        self.table = table
        self.row = row
        self.backends = list(backends)
        self.errors = spec.errors or 0
        self.in_a_row = LATEST >> (LATEST_BITS - self.errors)
        self.among = min(AMONG * self.errors, LATEST_BITS)
        self.remembered = LATEST >> (LATEST_BITS - self.among)
        self.gateway_errors = spec.gateway_errors or 0
        self.compares = spec.deviations is not None
        self.deviations = spec.deviations or 0.0
        self.window_s = spec.window_s
        self.min_requests = spec.min_requests
        self.min_backends = spec.min_backends
        self.max_ejected = spec.max_ejected
        self.penalty_s = spec.penalty_s
        self.max_penalty_s = spec.max_penalty_s
        # As far as this worker knows; where nothing is counted in windows there are none.
        self.window_ends = 0.0 if self.compares or self.errors > 0 else inf
        self.doubt_until = 0.0
        self.nobody_may_go_until = 0.0

    def ended(self, request: Pick, backend: Backend, failed: bool, status: int, now: float) -> Ejected | None:
        """A request ended that says something of its backend. Returns who is ejected, and why; mostly None.

        status: of the answer; 0 where none came.
        """
        gone: Ejected | None = None
        if failed:
            gone = self.add_error(request, backend, status, now)
        else:
            outcomes = self.table.mine(backend.row, OUTCOMES)
            if outcomes != 0:
                self.table.set_mine(backend.row, OUTCOMES, outcomes << 1 & self.remembered)
        if now >= self.window_ends:
            compared = self.turn_window(request, now)
            if compared:
                gone = compared if gone is None else gone + compared
        return gone

    def add_error(self, request: Pick, backend: Backend, status: int, now: float) -> Ejected | None:
        """Note an error, and eject the backend where that was one too many."""
        outcomes = self.table.mine(backend.row, OUTCOMES)
        latest = (outcomes << 1 | 1) & self.remembered
        # An answer of 500 that came whole is the application's own; one of 200 that broke off is the gateway's.
        gateway = status < 500 or 502 <= status <= 504
        runs = (outcomes >> LATEST_BITS) + 1 if gateway and self.gateway_errors > 0 else 0
        why = ""
        if self.errors > 0 and latest & self.in_a_row == self.in_a_row:
            why = f"{self.errors} errors in a row" if self.errors > 1 else "an error"
        elif 0 < self.gateway_errors <= runs:
            why = f"{runs} gateway errors in a row" if runs > 1 else "a gateway error"
        elif self.errors > 0 and ones(latest) >= self.errors and self.others_are_well(backend, now):
            why = f"{self.errors} errors in {self.among} requests, while the others answer well"
        if not why:
            self.table.set_mine(backend.row, OUTCOMES, runs << LATEST_BITS | latest)
            return None
        # Also where it may not go: to find that out costs a look at all, so it is found out once in so many errors.
        self.table.set_mine(backend.row, OUTCOMES, 0)
        said = self.eject(request, backend, why, now)
        return [(backend, said)] if said else None

    def others_are_well(self, backend: Backend, now: float) -> bool:
        """Whether of the requests to all others that take some hardly any failed, in this window and the one before."""
        if now < self.doubt_until:
            return False
        ended = failed = 0
        for other in self.backends:
            if other.row != backend.row and other.takes_requests(False):
                counted = tally(self.table, other.row)
                before = self.table.get(other.row, EARLIER_FROM)
                ended += ended_since(counted, before)
                failed += failed_since(counted, before)
        if failed * WELL < ended:
            return True
        self.doubt_until = now + DOUBT_S
        return False

    def turn_window(self, request: Pick, now: float) -> Ejected | None:
        """The window is over, as far as is known here: compare the backends, unless another worker has."""
        now_ms = int(now * 1000)
        ends_ms = self.table.get(self.row, WINDOW)
        if ends_ms > now_ms:
            self.window_ends = ends_ms / 1000
            return None
        following_ms = ceil((now + self.window_s) * 1000)
        self.window_ends = following_ms / 1000
        if not self.table.swap(self.row, WINDOW, ends_ms, following_ms):
            return None
        # Where nobody came for so long, or nobody looked, the counts are not those of a window.
        gone: Ejected | None = None
        fresh = ends_ms == 0 or now_ms - ends_ms > self.window_s * 1000
        if not fresh and self.compares:
            gone = self.compare(request, now)
        for backend in self.backends:
            counted = tally(self.table, backend.row)
            before = counted if fresh else self.table.get(backend.row, WINDOW_FROM)
            self.table.set(backend.row, EARLIER_FROM, before)
            self.table.set(backend.row, WINDOW_FROM, counted)
        return gone

    def compare(self, request: Pick, now: float) -> Ejected:
        """Eject those whose success rate is far below the others', the worst first."""
        rated: list[tuple[float, Backend]] = []
        for backend in self.backends:
            counted = tally(self.table, backend.row)
            before = self.table.get(backend.row, WINDOW_FROM)
            ended = ended_since(counted, before)
            if ended >= self.min_requests:
                rated.append((1.0 - failed_since(counted, before) / ended, backend))
        if len(rated) < self.min_backends:
            return []
        mean = sum([rate for rate, _ in rated]) / len(rated)
        deviation = sqrt(sum([(rate - mean) ** 2 for rate, _ in rated]) / len(rated))
        least = mean - max(self.deviations * deviation, MARGIN)
        gone: Ejected = []
        for rate, backend in sorted([one for one in rated if one[0] < least], key=_rate):
            if len(gone) == AT_ONCE:
                break
            why = f"success rate {_percent(rate)}, where {len(rated)} backends have {_percent(mean)} on average"
            said = self.eject(request, backend, why, now)
            if said:
                gone.append((backend, said))
        return gone

    def eject(self, request: Pick, backend: Backend, why: str, now: float) -> str:
        """Leave a backend alone for its penalty, where it may go; that in words, else nothing."""
        if not self.may_go(backend):
            return ""
        before = self.table.get(backend.row, PENALTIES)
        served = now - (before >> TIMES_BITS) / 1000
        times = max((before & TIMES) - int(max(served, 0.0) / self.penalty_s), 0) + 1
        lasts_s = min(times * self.penalty_s, self.max_penalty_s)
        lasts_s *= 1.0 + JITTER * request.below(STEPS) / STEPS
        until_ms = ceil((now + lasts_s) * 1000)
        if not self.send_away(backend, until_ms):
            return ""
        self.table.set(backend.row, PENALTIES, until_ms << TIMES_BITS | min(times, TIMES))
        self.table.add_mine(backend.row, EJECTIONS, 1)
        return f"ejected for {lasts_s:.3g} s: {why}"

    def hold(self, backend: Backend, until_s: float, now: float) -> bool:
        """Leave a backend alone until then, as it has asked for; whether it is, for so long.

        That is no ejection: it is not counted. But the same holds: never the last one, nor beyond the cap. And no
        longer than the longest penalty: a backend that means it will say so again.
        """
        if until_s <= now:  # not in milliseconds: to be left alone for a part of one only makes noise
            return False
        until_ms = ceil(min(until_s, now + self.max_penalty_s) * 1000)
        while True:
            found = backend.ejected_until_ms()
            if found >= until_ms:
                return True
            if found == 0:
                return self.lets_go(backend, until_ms, now)
            if self.table.swap(backend.row, EJECTED, found, until_ms):
                return True

    def lets_go(self, backend: Backend, until_ms: int, now: float) -> bool:
        """Leave alone who has asked for it, where it may go. That nobody may is believed for a while: to find out costs
        a look at all, and in a service that is full every backend asks with every answer."""
        if now < self.nobody_may_go_until:
            return False
        if self.may_go(backend) and self.send_away(backend, until_ms):
            return True
        self.nobody_may_go_until = now + DOUBT_S
        return False

    def may_go(self, backend: Backend) -> bool:
        """Whether there would be somebody left, and not too many away. Who takes no requests needs no ejection."""
        return backend.takes_requests(False) and self.is_bearable(backend, 1)

    def send_away(self, backend: Backend, until_ms: int) -> bool:
        """Eject it for all workers; False where another one has, or where one too many has gone by that."""
        if not self.table.swap(backend.row, EJECTED, 0, until_ms):
            return False
        if not self.is_bearable(backend, 0):
            # Others may have gone at the same time, and may do the same now: better none than all.
            self.table.swap(backend.row, EJECTED, until_ms, 0)
            return False
        backend.announce()
        return True

    def is_bearable(self, backend: Backend, more: int) -> bool:
        """Whether not too many are ejected, with so many more, and one of its tier that takes requests is left besides.

        Of its tier: backups are for servers that are down, and a page that always fails must not bring them in.
        """
        members = left = 0
        ejected = more
        present = False
        for one in self.backends:
            present = present or one.row == backend.row
            members += one.is_member()
            ejected += one.ejected_until_ms() != 0
            left += one.row != backend.row and one.home == backend.home and one.takes_requests(False)
        return present and left > 0 and ejected <= max(int(members * self.max_ejected + ROUNDING), 1)


def ones(bits: int) -> int:
    """How many bits are set."""
    count = 0
    while bits != 0:
        bits &= bits - 1
        count += 1
    return count


def _rate(rated: tuple[float, Backend]) -> float:
    return rated[0]


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
