"""Who goes first for a place in a pool, of those who wait with different workers.

Each worker has its own queue before a pool (core/waiting.py), and hears at once only of the places that its own
requests leave. So one that has all places would keep them for as long as anybody waits with it, and who waits with
another one would wait for nothing. Each says in the table who is first with it, and leaves a place to the first of
another one who is of a better priority, or has less time left by more than MARGIN_MS: a place that goes from one to
another is empty until that one looks, so it had better not go to and fro.

A worker that has said nothing for SILENCE_MS is dead or stands still: nothing is left to it.
"""

from typing import Final

from steelyard.core import table as cells
from steelyard.core.table import Table

FIRST_WAITS: Final = cells.FIRST_WAITS
SAID_AT: Final = cells.SAID_AT

MARGIN_MS: Final = 50
SILENCE_MS: Final = 250  # who waits says so every few milliseconds (proxy/queue.py)
PRIORITY_SHIFT: Final = 44  # below it monotonic milliseconds: five hundred years
NOBODY: Final = 0


def rank_of(priority: int, deadline: float) -> int:
    """Who waits until then, as a number: the lower, the sooner it is their turn. Never NOBODY."""
    return priority << PRIORITY_SHIFT | int(deadline * 1000) + 1


class Firsts:
    """One pool's, as the table's worker. row: that of its first tier."""

    def __init__(self, table: Table, row: int) -> None:
        self.table = table
        self.row = row

    def say(self, rank: int, now: float) -> None:
        """Say who is first with this worker. rank: NOBODY where nobody waits."""
        self.table.set_mine(self.row, FIRST_WAITS, rank)
        self.table.set_mine(self.row, SAID_AT, int(now * 1000))

    def is_anothers_turn(self, rank: int, now: float) -> bool:
        """Whether somebody who waits with another worker goes before one of this rank."""
        for worker in range(self.table.workers):
            if worker != self.table.worker:
                first = self.table.of_worker(self.row, worker, FIRST_WAITS)
                if first != NOBODY and first + MARGIN_MS < rank:
                    said_ms = self.table.of_worker(self.row, worker, SAID_AT)
                    if now * 1000 - said_ms < SILENCE_MS:
                        return True
        return False
