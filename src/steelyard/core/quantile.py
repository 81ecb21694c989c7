"""A quantile of the latest response times: what nineteen of twenty answers take, say.

Exact over the last KEPT of them, and looked up anew after every EVERY: sorting 256 numbers takes some ten
microseconds, which 32 answers share. A sketch (P2, t-digest) would save memory that nobody misses, and be harder to
check.
"""

from array import array
from typing import Final

KEPT: Final = 256  # of a p95 thirteen are slower: enough to stand for it, and a minute old at four answers a second
EVERY: Final = 32
ENOUGH: Final = 32  # before so many nothing is said
UNKNOWN: Final = -1.0


class Quantile:
    """share: which one, 0.95 for p95. value: seconds, UNKNOWN before the first ENOUGH answers."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.value = UNKNOWN
        self.times = array("d")
        self.at = 0
        self.since = 0

    def add(self, seconds: float) -> int:
        """An answer took so long. Returns 0."""
        if len(self.times) < KEPT:
            self.times.append(seconds)
        else:
            self.times[self.at] = seconds
            self.at = (self.at + 1) % KEPT
        self.since += 1
        if self.since >= EVERY and len(self.times) >= ENOUGH:
            self.since = 0
            ordered = sorted(self.times)
            self.value = ordered[min(int(self.share * len(ordered)), len(ordered) - 1)]
        return 0
