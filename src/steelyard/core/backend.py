"""One server's live numbers, and the load formula over them.

All numbers lie in the table, so that every worker and every reader sees the same ones; a Backend is only a view
of its row. `in_flight` counts all workers, so a policy balances over what the others have sent as well.
The methods are for compiled callers (an attribute would go through Python); the properties read as prose.
Source: Finagle keeps load metric and picker apart; the one predicate `available` is Caddy's `Upstream`.
"""

from math import inf
from typing import Final

from steelyard.core import table as cells
from steelyard.core.spec import BackendSpec
from steelyard.core.table import Table

# Constants of our own, which backend.pxd makes C integers: the table's are Python's, looked up at every use.
STATUS: Final = cells.STATUS
DRAINING: Final = cells.DRAINING
WEIGHT: Final = cells.WEIGHT
IN_FLIGHT: Final = cells.IN_FLIGHT
REQUESTS: Final = cells.REQUESTS
FAILURES: Final = cells.FAILURES
UP: Final = cells.UP
DOWN: Final = cells.DOWN
UNLIMITED: Final = -1


class Backend:
    """One server of a pool. Making one writes its weight into the table and leaves the other numbers alone.

    row: its row of the table. label: what the logs call it.
    """

    def __init__(self, spec: BackendSpec, table: Table, row: int) -> None:
        self.spec = spec
        self.host = spec.host
        self.port = spec.port
        self.address = spec.address
        self.label = spec.address
        self.max_connections = spec.max_connections
        self.table = table
        self.row = row
        self.limit = UNLIMITED if spec.max_connections is None else spec.max_connections
        table.set(row, WEIGHT, spec.weight)

    def __repr__(self) -> str:
        return f"<Backend {self.label}>"

    def count_in_flight(self) -> int:
        """Requests in flight from all workers."""
        return self.table.total(self.row, IN_FLIGHT)

    def count_requests(self) -> int:
        """Requests ever sent, tries included."""
        return self.table.total(self.row, REQUESTS)

    def current_weight(self) -> int:
        """The weight, a whole number; 0 takes no new request."""
        return self.table.get(self.row, WEIGHT)

    def is_healthy(self) -> bool:
        """Whether nothing is known against it."""
        return self.table.get(self.row, STATUS) == UP

    def is_draining(self) -> bool:
        """Whether it only finishes what it has."""
        return self.table.get(self.row, DRAINING) != 0

    def is_full(self) -> bool:
        """Whether it has max_connections requests in flight (several workers may overshoot by one each)."""
        return self.limit != UNLIMITED and self.count_in_flight() >= self.limit

    def takes_requests(self) -> bool:
        """Whether it would take new requests if only it were not full."""
        return self.is_healthy() and not self.is_draining() and self.current_weight() > 0

    def is_available(self) -> bool:
        """Whether a policy may pick it."""
        return self.takes_requests() and not self.is_full()

    def load(self) -> float:
        """What it would carry with one request more, per unit of weight: (in flight + 1) / weight."""
        weight = self.current_weight()
        return (self.count_in_flight() + 1) / weight if weight > 0 else inf

    def begin(self) -> int:
        """Count a request that is sent to it. Returns 0."""
        self.table.add_mine(self.row, IN_FLIGHT, 1)
        self.table.add_mine(self.row, REQUESTS, 1)
        return 0

    def finish(self, failed: bool) -> int:
        """Count the end of a request that this worker began. Returns 0."""
        left = self.table.add_mine(self.row, IN_FLIGHT, -1)
        assert left >= 0, f"{self.label}: a request ended that had not begun"
        if failed:
            self.table.add_mine(self.row, FAILURES, 1)
        return 0

    def set_healthy(self, healthy: bool) -> None:
        """Say for all workers whether it is up."""
        self.table.set(self.row, STATUS, UP if healthy else DOWN)

    def set_draining(self, draining: bool) -> None:
        """Say for all workers whether it only finishes what it has."""
        self.table.set(self.row, DRAINING, 1 if draining else 0)

    @property
    def weight(self) -> int:
        """See `current_weight`."""
        return self.current_weight()

    @property
    def in_flight(self) -> int:
        """Requests in flight from all workers."""
        return self.count_in_flight()

    @property
    def requests(self) -> int:
        """Requests ever sent, tries included."""
        return self.count_requests()

    @property
    def failures(self) -> int:
        """Requests ever released as failed."""
        return self.table.total(self.row, FAILURES)

    @property
    def healthy(self) -> bool:
        """See `is_healthy`."""
        return self.is_healthy()

    @property
    def draining(self) -> bool:
        """See `is_draining`."""
        return self.is_draining()

    @property
    def full(self) -> bool:
        """See `is_full`."""
        return self.is_full()

    @property
    def available(self) -> bool:
        """Healthy, not draining, not full, and of a weight above 0."""
        return self.is_available()
