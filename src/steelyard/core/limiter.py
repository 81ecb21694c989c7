"""A limit on how often: GCRA for many keys at once, exact among all workers, over a slice of shared cells.

Each key may come at a steady rate, and so many times at once (the burst). What there is to know of a key is one time:
when it would have used up nothing (the theoretical arrival time, TAT). A request is admitted when that lies no further
ahead than the burst allows, and moves it on by one interval. So nothing has to tick, and a key that has not come for a
while needs no memory.

An entry is one cell, a mark of the key above its TAT, so that compare-and-swap makes every admission exact: of two
workers that want the same entry one is told to look again. No lock, and nothing to mend when a worker dies.

Times are counted in 64ths of the interval, modulo 2^40: half a year at 1000/s, 4 h 46 min at 1,000,000/s. What results
is exact GCRA for arrivals that are rounded down to such a 64th. A TAT is believed where it lies between now and the
furthest that the burst allows (and SLACK_S more, for a worker whose clock was read a moment ago); else it is past. One
that is older than the modulus can be taken for one that lies ahead; such a key is then treated as if it had used some
of its burst, which is over as soon as the burst would be.

Entries are in sets of eight, a cache line. A newcomer takes one that is past, or else the one whose TAT comes first:
who presses hardest is forgotten last, and who is forgotten has its whole burst again. Two keys of one set whose marks
are the same share an entry; the chance that a key meets such another one is below 1 in 2 million.
Source: ITU-T I.371 (the generic cell rate algorithm, as virtual scheduling); the sets are those of homes.py.
"""

from array import array
from math import ceil
from typing import Final

COMPILED: Final = not __file__.endswith(".py")

# Constants that limiter.pxd makes C integers.
WAYS: Final = 8  # entries of a set
INTERVAL: Final = 64  # ticks: a late or early 64th of an interval is noticed by nobody
TIME_BITS: Final = 40  # of a cell; the mark is above them
SPAN: Final = 1 << 40
TIME_MASK: Final = (1 << 40) - 1
MARK_SHIFT: Final = 40  # the mark is the key's upper 24 bits; which set it is in, all of them say
HALF: Final = 1 << 23  # marks are signed, as cells are
TURN: Final = float(1 << 40)

# How many keys meet in a set, on average, when there are as many as were asked for. By Poisson's law 2 in 10,000 keys
# find more than seven others in their set then; with 4 it would be 1 in 100, and half the memory.
CROWD: Final = 2
# A worker that has read the clock may be kept from its work so long by the scheduler, and is still not believed to live
# in another age than the others.
SLACK_S: Final = 1.0
MOST_RATE: Final = 1e6  # a second: so the burst and the slack are a small part of the modulus
MOST_BURST: Final = 1 << 24


class Limiter:
    """One view of the memory. Zeroed cells remember nobody.

    cells: int64, writable; ours are `length` from `first` on, best at the start of a cache line. rate: admitted a
    second; burst: how many at once. Raises ValueError for what cannot be.
    """

    def __init__(self, cells: "array[int] | memoryview[int]", first: int, length: int, rate: float, burst: int) -> None:
        if first < 0 or length < 1 or first + length > len(cells):
            raise ValueError(f"{length} cells from {first} on, of {len(cells)}; an entry takes one")
        if not (0.0 < rate <= MOST_RATE and 1 <= burst <= MOST_BURST):
            raise ValueError(f"{burst} at once and {rate} a second; from 1 to {MOST_BURST}, at most {MOST_RATE:g}")
        self.cells = memoryview(cells)[first : first + length]
        self.sets = max(length // WAYS, 1)
        self.ways = min(length, WAYS)
        self.per_s = rate * INTERVAL
        self.furthest = burst * INTERVAL
        self.believed = self.furthest + ceil(SLACK_S * self.per_s)

    def take(self, key: int, now: float) -> float:
        """0.0 when the key is admitted, and counted; else how many seconds until it would be.

        key: 64 well mixed bits. now: monotonic seconds, of the clock that all share.
        """
        clock = now * self.per_s % TURN
        ticks = int(clock)
        mark = mark_of(key)
        place = first = key % self.sets * WAYS
        while True:
            ahead = -1
            found = 0
            for at in range(first, first + self.ways):
                cell = self.cells[at]
                left = (cell - ticks) & TIME_MASK
                if left > self.believed:
                    left = 0
                if cell >> TIME_BITS == mark:
                    ahead, place, found = left, at, cell
                    break
                if ahead < 0 or left < ahead:
                    ahead, place, found = left, at, cell
            else:
                ahead = 0
            if ahead + INTERVAL > self.furthest:
                # Whole ticks first: the rest is less than one, so that what is left is never 0.
                return (ahead + INTERVAL - self.furthest - (clock - ticks)) / self.per_s
            # If it is not what it was, another worker has admitted somebody here: look again.
            if self.swap(place, found, mark * SPAN + ((ticks + ahead + INTERVAL) & TIME_MASK)):
                return 0.0

    def swap(self, at: int, before: int, value: int) -> bool:
        """Store into a cell if it still holds `before`; atomic among all processes when compiled."""
        found = self.cells[at]
        if COMPILED:  # pragma: no cover (coverage sees only the interpreted run)
            return atomic_swap(self.cells, at, before, value) != 0  # type: ignore[name-defined,no-any-return] # noqa: F821 (limiter.pxd)
        if found == before:
            self.cells[at] = value
        return found == before


def mark_of(key: int) -> int:
    """The upper 24 bits of a key as a signed number, never 0: that is nobody's."""
    mark = (key >> MARK_SHIFT) - HALF
    return 1 if mark == 0 else mark


def limiter_cells(keys: int) -> int:
    """How many cells to limit so many keys at once: up to eight exactly, of more all but 2 in 10,000."""
    return WAYS if keys <= WAYS else -(-keys // CROWD) * WAYS
