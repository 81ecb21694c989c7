"""The shared cells: every live number that more than one process may read, in one array of int64.

A row belongs to one backend or to one pool. It begins with the shared cells (STATUS, WEIGHT, CURSOR...), which
anyone may write, and goes on with one column of counters a worker (IN_FLIGHT, REQUESTS...), which that worker
alone writes. So a plain store is enough for a counter, readers add the columns up, and only `fetch_add` has to
be atomic. Zeroed memory is a valid table: everything healthy, nothing in flight.

The array lies over any writable buffer: a bytearray for one worker, a shared mapping for several. Blocks are whole
cache lines (64 bytes, 8 cells), so that no worker's store takes the line away that another is writing; of the shared
cells, those that are written for each request have a line of their own.
Behind the rows there may be more cells: `rest`, lots of which tiers hold (core/homes.py), and listeners and their rate
limits (core/limiter.py, core/crowd.py), which have rows too (core/door.py says what is in those).

Some rows belong to no pool: BALANCER, about the balancer itself, and those of the COUNTERS.
"""

from mmap import mmap
from typing import Final

COMPILED: Final = not __file__.endswith(".py")

# Shared cells of a row: first a backend's, then those of a tier of a pool.
STATUS: Final = 0  # UP, DOWN or SILENT in its lowest bits, what led to it above them (core/health.py)
DRAINING: Final = 1  # 1 while a backend only finishes what it has
WEIGHT: Final = 2  # as configured, or set since: a whole number
SHARE: Final = 3  # the weight that counts now, in thousandths: less than WEIGHT says during a slow start
UP_SINCE: Final = 4  # when it came back, in monotonic milliseconds; 0 when that is long ago
GENERATION: Final = 5  # goes up with every change of a status, a weight or a draining in the tier
LOT: Final = 6  # where in `rest` the tier's lot begins, counted from 1; 0 without one
LOT_CELLS: Final = 7  # how long it is
CURSOR: Final = 8  # whose turn it is; one for all workers
# Of a backend's row besides. The numbers are those of cells that only a tier's row has: no row is both.
EJECTED: Final = 5  # until when it is left alone, in monotonic milliseconds; 0 when it is not (core/outlier.py)
CIRCUIT: Final = 6  # of its breaker: a state in the lowest bits, a time in milliseconds above (core/breaker.py)
PENALTIES: Final = 7  # how often it was ejected in a row, in the lowest bits; above them when the last time ends
# And of the row of a pool's first tier, in place of what only a backend's row has.
POOL_CIRCUIT: Final = 0  # of the breaker of the whole pool, as CIRCUIT
WINDOW: Final = 1  # when the window ends in which backends are compared, in monotonic milliseconds; 0: none began
# Of both, in the line of what is written more often: what breakers and ejection count from.
IN_A_ROW: Final = 9  # failures since the last answer, while a breaker is closed
RATES_SINCE: Final = 10  # when the window of a breaker's rates began, in monotonic milliseconds
RATES_FROM: Final = 11  # and what had ended and failed until then (see `pack`)
SLOW_FROM: Final = 12  # and what was slow
WINDOW_FROM: Final = 13  # what had ended and failed at a backend when the window began
EARLIER_FROM: Final = 14  # and when the window before it did
# Of a pool's first tier besides:
FLOOR: Final = 2  # free retries that were used in a window (core/retry.py)
# and the limit of requests in flight that was found (core/adaptive.py):
BASE: Final = 3  # what answers take at leisure, in microseconds
PROBED_AT: Final = 4  # when that was measured last, in monotonic milliseconds
LIMIT: Final = 13  # in thousandths, and what goes on
ADAPTED_AT: Final = 14  # when it was moved last, in monotonic milliseconds
# Of a tier whose requests name their policy (core/approaches.py), besides:
TURN: Final = 15  # CURSOR of those that go in turn, since every other policy moves the CURSOR
SHARED_CELLS: Final = 16

# Counters of a row: one block a worker, of which it alone is the writer.
IN_FLIGHT: Final = 0
REQUESTS: Final = 1
FAILURES: Final = 2
OUTCOMES: Final = 3  # the latest ones, a bit each (core/outlier.py)
SLOW: Final = 4  # answers that took longer than a breaker likes
UNJUDGED: Final = 5  # requests that ended without saying anything of the backend: the client left
EJECTIONS: Final = 6  # times that it was ejected
TRIPS: Final = 7  # times that its circuit was opened
WORKER_CELLS: Final = 8
# Of the row of a pool's first tier, in place of what only a backend's row has (core/firsts.py):
FIRST_WAITS: Final = 3  # who waits first for a place with this worker, as a number
SAID_AT: Final = 5  # and when that was said, in monotonic milliseconds

# The row about the balancer itself, and its cells: shared ones, then those of each worker.
BALANCER: Final = 0
ROWS_USED: Final = 0  # rows from here on were never used
CONFIGURATION: Final = 1  # which configuration is in force, counted from 1
RELOADS: Final = 2  # configurations that were taken
REFUSED: Final = 3  # and those that were not
WORKERS_LOST: Final = 4  # workers that ended without being told to
LOTS_USED: Final = 5  # cells of `rest` from here on were never used
BEAT: Final = 0  # when the worker's loop came round last, in monotonic milliseconds
CLIENTS: Final = 1  # open client connections, as of then

# The rows behind it count what has happened (observe/counters.py): a counter is a cell of each worker's, and for what
# workers counted that are no more, the shared cell of the same number.
COUNTERS: Final = 1
COUNTER_ROWS: Final = 10
FIRST_ROW: Final = COUNTERS + COUNTER_ROWS  # of those that pools may have

UP: Final = 0  # what zeroed memory says: a backend is believed in until something is known against it
DOWN: Final = 1  # it answers checks, but not as it should: when most are down, it is asked all the same
SILENT: Final = 2  # it cannot be connected to, or does not answer
STATUS_BITS: Final = 3  # of the cell, for these
HEALTH_SHIFT: Final = 2  # above them: the code of its machine of health
SETTLED: Final = 1 << HEALTH_SHIFT | UP  # the whole cell of one that is up with nothing against it

# States of a circuit. The lowest bit says that no request goes there.
CLOSED: Final = 0
OPEN: Final = 1
HALF_OPEN: Final = 2  # there is room for a trial
TRYING: Final = 3  # the trial is out
STOPS: Final = 1
CIRCUIT_BITS: Final = 3
PASSED_SHIFT: Final = 2  # above them: how many trials in a row have passed
PASSED_BITS: Final = 1023
CIRCUIT_SHIFT: Final = 12  # above that: until when it is open, or when a trial is given up as lost; else 0

WEIGHT_UNIT: Final = 1000  # a weight of 1, as a SHARE

CELL_BYTES: Final = 8

# The same for compiled arithmetic: table.pxd makes these two C integers, which other modules cannot import.
SHARED: Final = SHARED_CELLS
COLUMN: Final = WORKER_CELLS


class Table:
    """One view of the cells, as the given worker.

    buffer: writable and at least `size_bytes(rows, workers)` long; not cleared, so that live numbers survive.
    worker: which column is ours, from 0. Raises ValueError when the buffer is too short or the worker unknown.
    """

    def __init__(self, buffer: bytearray | memoryview | mmap, rows: int, workers: int = 1, worker: int = 0) -> None:
        if not 0 <= worker < workers:
            raise ValueError(f"worker {worker} of a table for {workers}; count from 0")
        needed = self.size_bytes(rows, workers)
        view = memoryview(buffer).cast("B")
        if len(view) < needed:
            raise ValueError(f"{len(view)} bytes for {rows} rows and {workers} workers; needs {needed}")
        self.cells = view[:needed].cast("q")
        self.rest = view[needed : len(view) - len(view) % CELL_BYTES].cast("q")
        self.rows = rows
        self.workers = workers
        self.worker = worker
        self.stride = SHARED_CELLS + workers * WORKER_CELLS
        self.column = SHARED_CELLS + worker * WORKER_CELLS

    @staticmethod
    def size_bytes(rows: int, workers: int) -> int:
        """How long the buffer must be."""
        return rows * (SHARED_CELLS + workers * WORKER_CELLS) * CELL_BYTES

    def get(self, row: int, cell: int) -> int:
        """A shared cell."""
        return self.cells[row * self.stride + cell]

    def set(self, row: int, cell: int, value: int) -> int:
        """Store into a shared cell: the last writer wins. Returns 0."""
        self.cells[row * self.stride + cell] = value
        return 0

    def fetch_add(self, row: int, cell: int, n: int) -> int:
        """Add to a shared cell and return what it held before; atomic among all processes when compiled.

        Interpreted, two processes may get the same value once in a while: a turn given twice, nothing worse.
        """
        at = row * self.stride + cell
        before = self.cells[at]
        if COMPILED:  # pragma: no cover (coverage sees only the interpreted run)
            return atomic_fetch_add(self.cells, at, n)  # type: ignore[name-defined,no-any-return] # noqa: F821 (table.pxd)
        self.cells[at] = before + n
        return before

    def swap(self, row: int, cell: int, before: int, value: int) -> bool:
        """Store into a shared cell if it still holds `before`; atomic among all processes when compiled."""
        at = row * self.stride + cell
        found = self.cells[at]
        if COMPILED:  # pragma: no cover (coverage sees only the interpreted run)
            return atomic_swap(self.cells, at, before, value) != 0  # type: ignore[name-defined,no-any-return] # noqa: F821
        if found == before:
            self.cells[at] = value
        return found == before

    def mine(self, row: int, cell: int) -> int:
        """Our own worker's counter."""
        return self.cells[row * self.stride + self.column + cell]

    def add_mine(self, row: int, cell: int, n: int) -> int:
        """Add to our own worker's counter and return the sum."""
        at = row * self.stride + self.column + cell
        self.cells[at] += n
        return self.cells[at]

    def total(self, row: int, cell: int) -> int:
        """A counter over all workers."""
        at = row * self.stride + SHARED + cell
        added = 0
        left = self.workers
        while left > 0:
            added += self.cells[at]
            at += COLUMN
            left -= 1
        return added

    def set_mine(self, row: int, cell: int, value: int) -> int:
        """Store into one of our own worker's cells. Returns 0."""
        self.cells[row * self.stride + self.column + cell] = value
        return 0

    def of_worker(self, row: int, worker: int, cell: int) -> int:
        """A counter of one worker, whichever."""
        return self.cells[row * self.stride + SHARED_CELLS + worker * WORKER_CELLS + cell]

    def clear_column(self, worker: int, rows: int | None = None) -> None:
        """Forget a worker that died: what it had in flight is no longer. The row's shared cells stay.

        rows: only the first so many, as far as rows were ever used; touching the others would take up their memory.
        """
        for row in range(self.rows if rows is None else rows):
            start = row * self.stride + SHARED_CELLS + worker * WORKER_CELLS
            for cell in range(WORKER_CELLS):
                self.cells[start + cell] = 0

    def keep_counters(self, worker: int) -> None:
        """What a worker counted that died has happened all the same. Call it before its column is cleared."""
        for row in range(COUNTERS, min(FIRST_ROW, self.rows)):
            for cell in range(WORKER_CELLS):
                self.fetch_add(row, cell, self.of_worker(row, worker, cell))

    def clear_row(self, row: int) -> None:
        """Make it one that nobody has used. Only for a row that no worker writes to any more."""
        for at in range(row * self.stride, (row + 1) * self.stride):
            self.cells[at] = 0
