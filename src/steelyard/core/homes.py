"""Where each client was sent last: a bounded memory of key -> row, one for all workers, over a slice of shared cells.

No lock, and nothing to mend when a worker dies. An entry is two cells. Its value says the row and how recently the
client was here; its seal is the key, folded with the row. An entry counts where the two fit together, so what two
workers wrote half and half, or one left half written, is nobody's entry, and is written over in its turn. Whatever is
found was put for that very key, but for a chance of 1 in 2^64; what can happen instead is that a client is not found:
when two workers write one entry at once, or in the nanoseconds between the two stores. Then it gets a new home. If two
workers enter one client at once, in two places, all go by the newer of the two. All this needs no order of stores.

The entries are in sets of eight: a cache line of seals and one of values. A client has its place in one set, by its
key, and takes that of the one in its set who was away longest. Who that is, a stamp says that goes up with each visit
to the set. There is no clock in it and no counter for all: what a clock is too coarse for stays in order, two workers
meet on a cache line only where their clients do, and a client who comes again before any other of its set costs no
store at all.
Source: Hyatt and Mann's lockless transposition tables for chess (ICGA Journal, 2002): the seal; CPU caches: the sets.
"""

from array import array
from typing import Final

COMPILED: Final = not __file__.endswith(".py")

NOBODY: Final = -1

# Constants that homes.pxd makes C integers.
WAYS: Final = 8  # entries of a set
SET_CELLS: Final = 16
# How many clients meet in a set, on average, when there are as many as were asked for. Chance fills some sets with more
# than eight, and where those come one after another, always in the same order, none of such a set is known again: that
# is 1 client in 100 where three meet, by Poisson's law, 5 where four do, and 55 where eight do.
CROWD: Final = 3
ROW_BITS: Final = 24  # of a value; a table of more rows would take 3 GiB. The stamp is above them
ROW_MASK: Final = (1 << 24) - 1
LAST: Final = (1 << 39) - 1  # stamp that fits: a set that is visited 100,000 times a second has it in two months
HALF: Final = 1 << 38
SPREAD: Final = 0x9E37_79B9_7F4A_7C15  # odd: no two rows fold a key alike. The golden section, as in core/stable.py
MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
SIGN: Final = 0x8000_0000_0000_0000


class Homes:
    """One view of the memory. Zeroed cells remember nobody.

    cells: int64, writable; ours are `length` from `first` on, best at the start of a cache line. How they are used
    follows from the length alone, so that all who have the same cells agree. Raises ValueError where there are fewer.
    """

    def __init__(self, cells: "array[int] | memoryview[int]", first: int, length: int) -> None:
        if first < 0 or length < 2 or first + length > len(cells):
            raise ValueError(f"{length} cells from {first} on, of {len(cells)}; an entry takes two")
        self.cells = memoryview(cells)[first : first + length]
        self.sets = max(length // SET_CELLS, 1)
        self.ways = min(length // 2, WAYS)

    def find(self, key: int) -> int:
        """The row where this client was sent last, or NOBODY; being asked for, it is here. key: 64 bits, not 0."""
        first = key % self.sets * SET_CELLS + self.ways
        newest = mine = 0
        place = first
        for at in range(first, first + self.ways):
            value = self.cells[at]
            if value > newest:
                newest = value
            if value > mine and self.cells[at - self.ways] == seal(key, value & ROW_MASK):
                mine = value
                place = at
        if mine == 0:
            return NOBODY
        if mine != newest:
            if newest >> ROW_BITS >= LAST:
                self.make_older(first)
                return self.find(key)
            # If it is not what it was, another worker has seen the client too, or has moved it: that stands.
            self.swap(place, mine, (newest >> ROW_BITS) + 1 << ROW_BITS | mine & ROW_MASK)
        return mine & ROW_MASK

    def put(self, key: int, row: int) -> int:
        """Remember that this client was sent to that row, wherever it was before. Returns 0. key: 64 bits, not 0."""
        first = key % self.sets * SET_CELLS + self.ways
        newest = mine = 0
        place = eldest = first
        oldest = self.cells[first]
        for at in range(first, first + self.ways):
            value = self.cells[at]
            if value > newest:
                newest = value
            if value < oldest:
                oldest = value
                eldest = at
            if value > mine and self.cells[at - self.ways] == seal(key, value & ROW_MASK):
                mine = value
                place = at
        if newest >> ROW_BITS >= LAST:
            self.make_older(first)
            return self.put(key, row)
        if mine == 0:
            mine = oldest
            place = eldest
        # Of two workers that want one place for their clients one has it, and the other's client is not remembered.
        if self.swap(place, mine, (newest >> ROW_BITS) + 1 << ROW_BITS | row):
            self.cells[place - self.ways] = seal(key, row)
        return 0

    def make_older(self, first: int) -> int:
        """Take half a life from every stamp of a set: there is none above them any more. Returns 0."""
        for at in range(first, first + self.ways):
            value = self.cells[at]
            self.cells[at] = max((value >> ROW_BITS) - HALF, 1) << ROW_BITS | value & ROW_MASK
        return 0

    def swap(self, at: int, before: int, value: int) -> bool:
        """Store into a cell if it still holds `before`; atomic among all processes when compiled."""
        found = self.cells[at]
        if COMPILED:  # pragma: no cover (coverage sees only the interpreted run)
            return atomic_swap(self.cells, at, before, value) != 0  # type: ignore[name-defined,no-any-return] # noqa: F821 (homes.pxd)
        if found == before:
            self.cells[at] = value
        return found == before


def seal(key: int, row: int) -> int:
    """The key folded with the row, as a signed number of 64 bits, such as a cell holds."""
    return ((key ^ (row * SPREAD & MASK)) ^ SIGN) - SIGN


def cells_needed(clients: int) -> int:
    """How many cells to remember so many clients: up to eight exactly, of more about 99 in 100, and others besides."""
    if clients <= WAYS:
        return 2 * clients
    return -(-clients // CROWD) * SET_CELLS
