"""What has happened, counted: how each exchange ended, and what was done on the way.

Every exchange, and every piece of bytes that was refused before it became one, is counted once under how it ended: by
the word of its failure (errors.py), or as `answered`. So the sum of the OUTCOMES is the number of requests, and the
sum over workers is exact: each writes cells of its own in the table (COUNTERS), and what a worker had counted that died
is kept. The EVENTS are no outcomes: of one exchange there may be several.

Which counter has which cell follows from their order here; all processes over one table are of one program.
"""

from typing import Final

from steelyard.core.table import COUNTER_ROWS, COUNTERS, FIRST_ROW, WORKER_CELLS, Table
from steelyard.errors import KINDS, Kind

ANSWERED: Final = "answered"
OUTCOMES: Final = (ANSWERED, *KINDS)

# The events: places in the list of names below.
_FIRST_EVENT: Final = len(OUTCOMES)
EVENTS: Final = (
    "retries",  # tries after the first one, wherever
    "retries_refused",  # which the budget did not allow
    "hedges",  # second tries beside a slow first one
    "hedges_won",  # that were answered first
    "queued",  # requests that waited for a place in a full pool
    "stale_noticed",  # kept connections whose end was seen before they were used again
    "stale_saved",  # and those that ended just as they were: the request went out once more, unharmed
    "datagrams_dropped",  # of UDP, either way: that were not passed on
    "datagrams_lost",  # and those that the kernel threw away before we saw them, for want of room
)
(
    RETRIES,
    RETRIES_REFUSED,
    HEDGES,
    HEDGES_WON,
    QUEUED,
    STALE_NOTICED,
    STALE_SAVED,
    DATAGRAMS_DROPPED,
    DATAGRAMS_LOST,
) = range(_FIRST_EVENT, _FIRST_EVENT + len(EVENTS))
NAMES: Final = (*OUTCOMES, *EVENTS)
# Constants of our own, which counters.pxd makes C integers.
FIRST: Final = COUNTERS
CELL_BITS: Final = 3  # eight counters a row
CELLS: Final = 7
assert CELLS + 1 == WORKER_CELLS
assert len(NAMES) <= COUNTER_ROWS * WORKER_CELLS, "the table has no room for so many counters"

_PLACE_OF: Final[dict[Kind, int]] = {kind: place for place, kind in enumerate(KINDS.values(), start=1)}


class Counters:
    """One worker's view of them. table: whose rows COUNTERS are ours; None counts where nobody looks."""

    def __init__(self, table: Table | None = None) -> None:
        self.table = Table(bytearray(Table.size_bytes(FIRST_ROW, 1)), FIRST_ROW) if table is None else table

    def ended(self, kind: Kind | None) -> int:
        """An exchange has ended: well (None), or in this way. Returns 0."""
        return self.add(0 if kind is None else _PLACE_OF[kind])

    def add(self, place: int) -> int:
        """Count one of what stands at this place of NAMES. Returns 0."""
        self.table.add_mine(FIRST + (place >> CELL_BITS), place & CELLS, 1)
        return 0

    def add_many(self, place: int, times: int) -> None:
        """Count so many of what stands at this place of NAMES."""
        self.table.add_mine(FIRST + (place >> CELL_BITS), place & CELLS, times)

    def read(self) -> dict[str, int]:
        """All of them by name, over all workers, those included that are no more."""
        return {
            name: self.table.get(row, cell) + self.table.total(row, cell)
            for place, name in enumerate(NAMES)
            for row, cell in [(FIRST + (place >> CELL_BITS), place & CELLS)]
        }
