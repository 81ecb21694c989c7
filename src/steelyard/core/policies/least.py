"""Least connections: the backend with the smallest (in flight + 1) / weight, over all workers' requests.

The one is the request to come: so of two idle backends the heavier is the better, and a backend of weight 2 with
one request in flight equals one of weight 1 with none. The quotients are rounded, but never wrongly: equal ones
stay equal, and different ones stay different while in flight x share is below 2^52.
Ties rotate, and so all workers together: the search begins behind the backend that was found last (CURSOR).
O(log n) beyond 64 backends (core/cheapest.py). Source: nginx `least_conn`, HAProxy `leastconn` (the rule).
"""

from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.cheapest import Cheapest
from steelyard.core.policy import Pick, register

CURSOR: Final = cells.CURSOR


class LeastConnections(Cheapest):
    """`least_connections`."""

    def cost(self, backend: Backend, at: int) -> float:
        """Its load with one request more."""
        return backend.load()

    def pick(self, request: Pick) -> Backend | None:
        """The least loaded backend that may be taken."""
        count = len(self.backends)
        if count == 0:
            return None
        start = self.table.fetch_add(self.row, CURSOR, 1) % count
        at = self.cheapest(request, start, count)
        if at < 0:
            return None
        if at != start:
            self.table.fetch_add(self.row, CURSOR, (at - start) % count)
        return self.backends[at]


register("least_connections", LeastConnections, "the smallest (in flight + 1) / weight over all", ours=True)
