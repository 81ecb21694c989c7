"""Lots of the cells behind the table's rows: who has which. Tiers whose policy remembers clients (core/homes.py), rate
limits (core/limiter.py) and listeners that count each client's connections (core/crowd.py) have one.

What is given out stands in the table itself, in the LOT and LOT_CELLS of their rows. So a process that takes over
needs to know no more than which rows may have one. Each lot begins at a cache line, in the first gap that is long
enough. Cells that were never in a lot are left as they are, zero: who touched them would take up their memory.
A worker that has not taken the latest configuration yet may still write to a lot that is somebody else's by now; the
memory there is made so that this costs its new holder a client or two and nothing else.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Final

from steelyard.core.table import BALANCER, CELL_BYTES, LOT, LOT_CELLS, LOTS_USED, Table

LINE: Final = 8  # cells
PIECE: Final = 65536  # cells that are zeroed at once
ZEROS: Final = memoryview(bytes(PIECE * CELL_BYTES)).cast("q")


class Lots:
    """Gives lots out. rows: all that may have one already."""

    def __init__(self, table: Table, rows: Iterable[int] = ()) -> None:
        self.table = table
        self.rows = set(rows)

    def ensure(self, row: int, cells: int) -> bool:
        """Let that row have at least so many cells: those it has, if they do, or zeroed ones.

        False when there is no room: then it has none, and each worker is on its own.
        """
        if self.table.get(row, LOT) > 0 and self.table.get(row, LOT_CELLS) >= cells:
            self.rows.add(row)
            return True
        self.free(row)
        start = self._gap(cells)
        if start is None:
            return False
        self._clear(start, start + cells)
        # The length first: who sees that there is a lot must find how long it is.
        self.table.set(row, LOT_CELLS, cells)
        self.table.set(row, LOT, start + 1)
        self.rows.add(row)
        return True

    def _clear(self, start: int, end: int) -> None:
        """Zero those cells that were ever in a lot."""
        used = self.table.get(BALANCER, LOTS_USED)
        for at in range(start, min(end, used), PIECE):
            stop = min(at + PIECE, end, used)
            self.table.rest[at:stop] = ZEROS[: stop - at]
        if end > used:
            self.table.set(BALANCER, LOTS_USED, end)

    def free(self, row: int) -> None:
        """Take back what that row has, if it has any."""
        self.table.set(row, LOT, 0)
        self.table.set(row, LOT_CELLS, 0)
        self.rows.discard(row)

    def _gap(self, cells: int) -> int | None:
        """Where the first so many free cells begin; None when there are none."""
        taken = sorted(
            (self.table.get(row, LOT) - 1, self.table.get(row, LOT_CELLS))
            for row in self.rows
            if self.table.get(row, LOT) > 0
        )
        start = 0
        for at, length in chain(taken, [(len(self.table.rest), 0)]):
            if at - start >= cells:
                return start
            start = max(start, -(-(at + length) // LINE) * LINE)
        return None
