"""Lots of the cells behind the table's rows: who has which, for tiers whose policy remembers clients (core/homes.py).

What is given out stands in the table itself, in the LOT and LOT_CELLS of the tiers' rows. So a process that takes over
needs to know no more than which rows are tiers'. Each lot begins at a cache line, in the first gap that is long enough.
A worker that has not taken the latest configuration yet may still write to a lot that is somebody else's by now; the
memory there is made so that this costs its new holder a client or two and nothing else.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Final

from steelyard.core.table import LOT, LOT_CELLS, Table

LINE: Final = 8  # cells


class Lots:
    """Gives lots out. rows: of all tiers that may have one already."""

    def __init__(self, table: Table, rows: Iterable[int] = ()) -> None:
        self.table = table
        self.rows = set(rows)

    def ensure(self, row: int, cells: int) -> bool:
        """Let the tier at that row have at least so many cells: those it has, if they do, or zeroed ones.

        False when there is no room: then it has none, and each worker remembers for itself.
        """
        if self.table.get(row, LOT) > 0 and self.table.get(row, LOT_CELLS) >= cells:
            self.rows.add(row)
            return True
        self.free(row)
        start = self._gap(cells)
        if start is None:
            return False
        self.table.rest[start : start + cells] = memoryview(bytes(cells * self.table.rest.itemsize)).cast("q")
        # The length first: who sees that there is a lot must find how long it is.
        self.table.set(row, LOT_CELLS, cells)
        self.table.set(row, LOT, start + 1)
        self.rows.add(row)
        return True

    def free(self, row: int) -> None:
        """Take back what that tier has, if it has any."""
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
