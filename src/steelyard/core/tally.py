"""What has ended and what has failed, as one whole number that fits into a cell, and the difference of two such.

A look at the counters that was taken at the start of a window lies in one cell, so nobody ever finds half of it. The
counters go up for as long as a balancer runs, and a cell has no room for two of them: the lowest 32 bits of the one and
31 of the other are enough for a difference. It is no difference where a counter has gone down, as all those of a worker
do that has died.
"""

from typing import Final

from steelyard.core import table as cells
from steelyard.core.table import Table

REQUESTS: Final = cells.REQUESTS
IN_FLIGHT: Final = cells.IN_FLIGHT
UNJUDGED: Final = cells.UNJUDGED
FAILURES: Final = cells.FAILURES

# Constants that tally.pxd makes C integers.
ENDED_BITS: Final = 32
ENDED: Final = (1 << 32) - 1
FAILED: Final = (1 << 31) - 1
MOST: Final = (1 << 30) - 1  # requests of a window: more is a counter that has gone down


def pack(ended: int, failed: int) -> int:
    """As one number, from 0 on."""
    return (failed & FAILED) << ENDED_BITS | ended & ENDED


def tally(table: Table, row: int) -> int:
    """That of a backend, over all workers: without what is in flight, and without what says nothing of it."""
    unended = table.total(row, IN_FLIGHT) + table.total(row, UNJUDGED)
    return pack(table.total(row, REQUESTS) - unended, table.total(row, FAILURES))


def before_it(counted: int, failed: bool) -> int:
    """The tally as it was before the latest one ended, which has failed or not."""
    return pack((counted & ENDED) - 1, (counted >> ENDED_BITS) - failed)


def ended_since(now: int, then: int) -> int:
    """How many have ended between two tallies; 0 where that cannot be said."""
    ended = (now - then) & ENDED
    return ended if ended <= MOST else 0


def failed_since(now: int, then: int) -> int:
    """And how many of those have failed."""
    failed = ((now >> ENDED_BITS) - (then >> ENDED_BITS)) & FAILED
    return failed if failed <= MOST else 0
