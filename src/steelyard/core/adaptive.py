"""A limit of requests in flight that finds itself: it rises while answers are quick, and falls when they wait.

Little's law says how many requests a pool can work on at once; more than that only wait, and every answer takes
longer. So the ratio of what answers take at leisure (`base`) to what they take now says how much of it all is queue:

    gradient = clamp(tolerance x base / now, 0.5, 1)      limit = limit x gradient + sqrt(limit)

The square root is the queue that is allowed for, which is what lets the limit rise at all. While less than half of it
is used the limit stays: an idle night would else raise it to nothing in particular; what answers take then is taken for
the base. A pool that is never idle would soon be measured against its own queue, so every PROBE_S the limit is halved
for two windows: in the first the queue goes, in the second the base is measured anew.

All of it lies in the table, one for all workers; each window one of them moves it, whoever sees first that it is over,
by its own times. Zeroed memory is a limit that nobody has set: it begins at START.
Source: Netflix concurrency-limits, Gradient2Limit (the rule); Envoy's adaptive concurrency (the measured base).
"""

from math import sqrt
from typing import Final

from steelyard.core.spec import AdaptiveSpec
from steelyard.core.table import ADAPTED_AT, BASE, LIMIT, PROBED_AT, Table

SLOWEST: Final = 0.5  # of the gradient: one bad window does not end a pool
SMOOTHING: Final = 0.2
START: Final = 20
SCALE: Final = 1000  # the limit lies in the table in thousandths
MIN_SAMPLES: Final = 10  # fewer answers are no average
PROBE_S: Final = 30.0
LEISURE: Final = 0.1  # how fast the base follows while the pool is at leisure

# What goes on, in the lowest bits of LIMIT.
NORMAL: Final = 0
SETTLING: Final = 1
MEASURING: Final = 2
PHASE_SHIFT: Final = 2
PHASE_BITS: Final = 3


class AdaptiveLimit:
    """table, row: where it lies: the row of the pool's first tier."""

    def __init__(self, spec: AdaptiveSpec, table: Table, row: int) -> None:
        self.table = table
        self.row = row
        self.sum_s = 0.0
        self.samples = 0
        self.peak = 0
        self.adopt(spec)

    def adopt(self, spec: AdaptiveSpec) -> None:
        """Keep to these bounds from now on."""
        self.spec = spec

    def current(self) -> int:
        """How many requests may be in flight."""
        limit, phase = self._read()
        return self._bounded(limit if phase == NORMAL else limit / 2)

    def _read(self) -> tuple[float, int]:
        cell: int = self.table.get(self.row, LIMIT)
        return (cell >> PHASE_SHIFT) / SCALE or self._bounded(START), cell & PHASE_BITS

    def _bounded(self, limit: float) -> int:
        return max(self.spec.least, min(self.spec.most, int(limit)))

    def answered(self, latency_s: float, in_flight: int, now: float) -> int:
        """An answer took so long, when so many were in flight. Returns 0."""
        self.sum_s += latency_s
        self.samples += 1
        self.peak = max(self.peak, in_flight)
        if self.samples < MIN_SAMPLES:
            return 0
        ended_ms: int = self.table.get(self.row, ADAPTED_AT)
        if now * 1000 - ended_ms >= self.spec.window_s * 1000:
            if self.table.swap(self.row, ADAPTED_AT, ended_ms, int(now * 1000)):
                self.adjust(max(self.sum_s / self.samples, 1e-6), now)
            self.sum_s = 0.0
            self.samples = 0
            self.peak = 0
        return 0

    def adjust(self, short_s: float, now: float) -> None:
        """A window is over, in which answers took so long on average."""
        limit, phase = self._read()
        base_s = self.table.get(self.row, BASE) / 1e6 or short_s
        if phase == SETTLING:
            phase = MEASURING
        elif phase == MEASURING:
            base_s = short_s
            phase = NORMAL
            self.table.set(self.row, PROBED_AT, int(now * 1000))
        elif self.peak < limit / 2:
            base_s += LEISURE * (short_s - base_s)
        else:
            base_s = min(base_s, short_s)
            gradient = max(SLOWEST, min(1.0, self.spec.tolerance * base_s / short_s))
            limit += SMOOTHING * (limit * gradient + sqrt(limit) - limit)
            limit = max(float(self.spec.least), min(float(self.spec.most), limit))
            if now * 1000 - self.table.get(self.row, PROBED_AT) >= PROBE_S * 1000:
                phase = SETTLING
        self.table.set(self.row, BASE, max(1, int(base_s * 1e6)))
        self.table.set(self.row, LIMIT, int(limit * SCALE) << PHASE_SHIFT | phase)
