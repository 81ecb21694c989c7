"""First: fill the first backend to its limit, then the next, in the order of the list.

So few backends do all the work and the others can be switched off, or are paid for only when they are needed: the
contrary of balancing, on purpose. A backend without `max_connections` is never full, and the ones behind it wait
until it is down. Weights do not count, but for 0.
It is the cheapest backend where a place in the list is the price (core/cheapest.py): O(log n) however many are full.
Source: HAProxy `balance first`.
"""

from steelyard.core.backend import Backend
from steelyard.core.cheapest import Cheapest
from steelyard.core.policy import Pick, register
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table


class First(Cheapest):
    """`first`."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.last = 0

    def cost(self, backend: Backend, at: int) -> float:
        """The farther behind, the dearer."""
        return at

    def pick(self, request: Pick) -> Backend | None:
        """The first backend that may be taken."""
        # Only one before the last pick would be better news than that pick was.
        at = self.cheapest(request, 0, min(self.last + 1, len(self.backends)))
        if at < 0:
            return None
        self.last = at
        return self.backends[at]


register("first", First, "fills the first to its max_connections, then the next, in the order of the list", ours=True)
