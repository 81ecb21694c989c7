"""A listener's live numbers, over all workers: connections and requests that are open, and what was turned away.

Its row of the table has the same shared cells and columns as a backend's, with other names here. The connections of a
worker stand where a backend's requests in flight do: by that cell the ledger sees that a row is still in use.
"""

from typing import Final

from steelyard.core.table import Table

# Counters of a listener's row, in each worker's column.
CONNECTIONS: Final = 0  # open now
IN_FLIGHT: Final = 1  # requests now; counted only where there is a limit to them
OVERLOADED: Final = 2  # requests that were refused since too many were in flight
CROWDED: Final = 3  # connections that were refused since their client had too many
WAITS: Final = 4  # 1 while this worker accepts nobody, and somebody waits
# And of the row of a limit.
LIMITED: Final = 1  # requests that were refused
OVER: Final = 2  # requests that would have been, and were passed on (dry_run)

NO_LIMIT: Final = -1


class Door:
    """One view of them, as the table's worker. most_in_flight: requests of all workers; NO_LIMIT for any number."""

    def __init__(self, table: Table, row: int) -> None:
        self.table = table
        self.row = row
        self.most_in_flight = NO_LIMIT

    def enter(self) -> int:
        """A connection is open. Returns how many this worker has."""
        return self.table.add_mine(self.row, CONNECTIONS, 1)

    def leave(self) -> int:
        """It is closed. Returns how many are left."""
        return self.table.add_mine(self.row, CONNECTIONS, -1)

    def connections(self) -> int:
        """Of all workers."""
        return self.table.total(self.row, CONNECTIONS)

    def begin(self) -> bool:
        """One request more, to be ended with `end`; False, and counted as refused, where there are too many."""
        self.table.add_mine(self.row, IN_FLIGHT, 1)
        # After our own is counted: of two workers that take the last place at once both may be refused, never both let
        # in.
        if self.table.total(self.row, IN_FLIGHT) <= self.most_in_flight:
            return True
        self.end()
        self.table.add_mine(self.row, OVERLOADED, 1)
        return False

    def end(self) -> int:
        """A request that was begun has ended. Returns how many this worker has left."""
        return self.table.add_mine(self.row, IN_FLIGHT, -1)

    def count_crowded(self) -> int:
        """A connection was refused since its client had too many. Returns how many this worker has refused."""
        return self.table.add_mine(self.row, CROWDED, 1)

    def set_waits(self, waits: bool) -> int:
        """Say whether clients of this worker wait to be accepted, and cannot be. Returns 0."""
        return self.table.set_mine(self.row, WAITS, int(waits))

    def should_yield(self) -> bool:
        """Whether a free place is for another worker, which has fewer connections and whose clients wait.

        Each worker hears at once only of places that its own clients leave; without this, the one that has them all
        would keep them all.
        """
        mine = self.table.mine(self.row, CONNECTIONS)
        for worker in range(self.table.workers):
            if (
                worker != self.table.worker
                and self.table.of_worker(self.row, worker, WAITS)
                and self.table.of_worker(self.row, worker, CONNECTIONS) < mine
            ):
                return True
        return False
