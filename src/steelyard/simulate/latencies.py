"""How long requests took, as a histogram: whatever their number, one size, and percentiles within 0.05 %.

A bin reaches from one time to the next larger by a thousandth (e^0.001), from LEAST up: what is shorter is in the
first, what is beyond all in the last. Mean and largest are exact.
Source: the idea of HdrHistogram (relative error in place of absolute), with a logarithm in place of its bit fields.
"""

from array import array
from math import ceil, exp
from typing import Final

from steelyard.simulate.chance import ln

# Of our own, which latencies.pxd makes C numbers.
LEAST: Final = 1e-6
FINENESS: Final = 1000.0
BINS: Final = 35_000  # up to LEAST x e^35, 1.6 thousand million


class Latencies:
    """Times of requests, in any unit. count, total, largest: of all that were added."""

    def __init__(self) -> None:
        self.bins = array("q", bytes(8 * BINS))
        self.count = 0
        self.total = 0.0
        self.largest = 0.0

    def add(self, value: float) -> int:
        """Take in one time, 0 or above. Returns 0."""
        self.count += 1
        self.total += value
        if value > self.largest:
            self.largest = value
        at = 0
        if value > LEAST:
            at = min(int(ln(value / LEAST) * FINENESS) + 1, BINS - 1)
        self.bins[at] += 1
        return 0

    def mean(self) -> float:
        """The mean; 0.0 of none."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """The time that this share of all (0 to 1) did not exceed; 0.0 of none."""
        if not self.count:
            return 0.0
        rank = max(1, ceil(share * self.count))
        seen = 0
        for at in range(BINS):
            seen += self.bins[at]
            if seen >= rank:
                return min(self.time_of(at), self.largest)
        raise AssertionError("a histogram that holds less than was put in")

    def above(self) -> list[tuple[float, float]]:
        """(time, share of all that took longer): a point for each bin that holds something, in order."""
        points = []
        left = self.count
        for at in range(BINS):
            if self.bins[at]:
                left -= self.bins[at]
                points.append((min(self.time_of(at), self.largest), left / self.count))
        return points

    def time_of(self, at: int) -> float:
        """The middle of a bin."""
        return LEAST * exp((at - 0.5) / FINENESS) if at else 0.0
