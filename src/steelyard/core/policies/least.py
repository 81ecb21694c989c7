"""Least connections: the backend with the smallest (in flight + 1) / weight, over all workers' requests.

The one is the request to come: so of two idle backends the heavier is the better, and a backend of weight 2 with
one request in flight equals one of weight 1 with none. Compared crosswise in whole numbers: no division, no
rounding. Ties rotate: the look around begins behind the backend that was found last.
"""

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, register
from steelyard.core.table import CURSOR


class LeastConnections(Policy):
    """`least_connections`: one look at every backend a pick."""

    def pick(self, request: Pick) -> Backend | None:
        """The least loaded backend that may be taken."""
        count = len(self.backends)
        start = self.table.fetch_add(self.row, CURSOR, 1) % max(count, 1)
        best: Backend | None = None
        best_step = best_load = best_weight = 0
        for step in range(count):
            index = start + step
            backend = self.backends[index if index < count else index - count]
            load = backend.count_in_flight() + 1
            weight = backend.current_weight()
            if (best is None or load * best_weight < best_load * weight) and request.may_take(backend):
                best, best_step, best_load, best_weight = backend, step, load, weight
        if best_step > 0:
            self.table.fetch_add(self.row, CURSOR, best_step)
        return best


register("least_connections", LeastConnections)
