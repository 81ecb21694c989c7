"""How many connections each client has, over all workers: counts in a slice of shared cells, for a bounded number of
clients.

An entry is one cell, a mark of the client above its count, so that compare-and-swap makes every step exact. Entries are
in sets of eight. Nobody is forgotten who has a connection: a newcomer that finds its set full is not counted, and let
in. A count never goes below none, and one that comes to none frees its cell.

A worker that dies takes its connections with it, and nobody knows whose they were. So the memory carries the number of
workers that were lost before it was begun; who finds another number in the table clears it. Connections that others
have then are no longer counted, and a client may have as many again until they close: it fails open, and it ends by
itself.
Source: the sets and marks are those of limiter.py.
"""

from array import array
from typing import Final

from steelyard.core.table import BALANCER, WORKERS_LOST, Table

COMPILED: Final = not __file__.endswith(".py")

CLIENTS: Final = 65_536  # with a connection at once; 2 MiB, of which what is never used takes none
WAYS: Final = 8
CROWD: Final = 2  # to a set, on average: see limiter.py
COUNT_BITS: Final = 24  # of a cell; the mark is above them. No machine has as many descriptors
COUNT_MASK: Final = (1 << 24) - 1
STEP: Final = 1 << 24
MARK_SHIFT: Final = 24
HALF: Final = 1 << 39  # marks are signed, as cells are

# Of the row that says whose memory this is: WORKERS_LOST as it was when the memory was begun.
SINCE: Final = 8


class Crowd:
    """One view of the memory. Zeroed cells know nobody.

    lot: where in the table's `rest` it begins, counted from 1; 0 where it is elsewhere.
    table, row: the listener's, where all see whether the memory is of this age. most: connections a client may have.
    cells: int64, writable. Raises ValueError where there are none.
    """

    def __init__(
        self, table: Table, row: int, cells: "array[int] | memoryview[int]", first: int, length: int, most: int
    ) -> None:
        if first < 0 or length < 1 or first + length > len(cells):
            raise ValueError(f"{length} cells from {first} on, of {len(cells)}; an entry takes one")
        self.table = table
        self.row = row
        self.cells = memoryview(cells)[first : first + length]
        self.sets = max(length // WAYS, 1)
        self.ways = min(length, WAYS)
        self.lot = first + 1 if cells is table.rest else 0
        self.most = most

    def enter(self, key: int) -> bool:
        """A connection of this client is open; False, and not counted, where it has as many as it may.

        key: 64 well mixed bits. What was let in is to be told to `leave`.
        """
        self.renew()
        mark = mark_of(key)
        first = key % self.sets * WAYS
        while True:
            place = -1
            found = 0
            for at in range(first, first + self.ways):
                cell = self.cells[at]
                if cell == 0:
                    if place < 0:
                        place = at
                elif cell >> COUNT_BITS == mark:
                    place, found = at, cell
                    break
            if place < 0:
                return True
            if found & COUNT_MASK >= self.most:
                return False
            if self.swap(place, found, mark * STEP + (found & COUNT_MASK) + 1):
                return True

    def leave(self, key: int) -> bool:
        """A connection of this client is closed. Whether it had been counted."""
        mark = mark_of(key)
        first = key % self.sets * WAYS
        at = first
        while at < first + self.ways:
            cell = self.cells[at]
            if cell >> COUNT_BITS != mark:
                at += 1
            elif self.swap(at, cell, 0 if cell & COUNT_MASK <= 1 else cell - 1):
                return True
        return False

    def renew(self) -> bool:
        """Begin anew where a worker was lost. Whether it was so; of several that see it one does it."""
        lost = self.table.get(BALANCER, WORKERS_LOST)
        since = self.table.get(self.row, SINCE)
        if lost == since or not self.table.swap(self.row, SINCE, since, lost):
            return False
        for at in range(self.sets * self.ways):
            self.cells[at] = 0
        return True

    def swap(self, at: int, before: int, value: int) -> bool:
        """Store into a cell if it still holds `before`; atomic among all processes when compiled."""
        found = self.cells[at]
        if COMPILED:  # pragma: no cover (coverage sees only the interpreted run)
            return atomic_swap(self.cells, at, before, value) != 0  # type: ignore[name-defined,no-any-return] # noqa: F821 (crowd.pxd)
        if found == before:
            self.cells[at] = value
        return found == before


def mark_of(key: int) -> int:
    """The upper 40 bits of a key as a signed number, never 0: that is nobody's."""
    mark = (key >> MARK_SHIFT) - HALF
    return 1 if mark == 0 else mark


def crowd_cells(clients: int) -> int:
    """How many cells for so many clients at once: up to eight exactly, of more all but 2 in 10,000."""
    return WAYS if clients <= WAYS else -(-clients // CROWD) * WAYS
