"""Sticky round robin: a client keeps its backend while that takes requests; new clients come in turn.

Who the client is, the request's key says (its address, unless the pool names another part of the request). Where a
client was sent is remembered for the `clients` that were here last; a request without a key only takes its turn.
A backend that is down, draining, gone or of weight 0 loses its clients for good: each gets a new one, and stays
there. One that is only full, or has just failed this one request, keeps them: the next request may well find room.
Every worker remembers for itself. Where a client must be found again by all workers and after a restart, the pool's
`sticky` (a cookie) or a hashing policy does it without a memory.
Source: HAProxy's stick tables (the idea); the turns are round_robin's.
"""

from collections import OrderedDict
from collections.abc import Sequence

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, register
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table
from steelyard.core.turns import Turns


class StickyRoundRobin(Policy):
    """`sticky_round_robin`."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.turns = Turns(table, row)
        self.clients = spec.clients
        # Longest away first. Not a dict: there, to find the first one again and again is a walk over the holes.
        self.homes: OrderedDict[int, Backend] = OrderedDict()

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Fix the order of turns, and forget what was sent to backends that are gone."""
        members = set(backends)
        if not members.issuperset(self.backends):
            self.homes = OrderedDict([(key, home) for key, home in self.homes.items() if home in members])
        self.backends = list(backends)
        self.turns.lay(self.backends)

    def pick(self, request: Pick) -> Backend | None:
        """The client's backend, or the next in turn."""
        if request.key == 0:
            return self.turns.next(request)
        key: int = request.key
        home = self.homes.get(key)
        if home is not None and home.takes_requests(request.panic):
            self.homes.move_to_end(key)
            return home if request.may_take(home) else self.turns.next(request)
        backend = self.turns.next(request)
        if backend is not None:
            self.homes[key] = backend
            self.homes.move_to_end(key)
            if len(self.homes) > self.clients:
                self.homes.popitem(last=False)
        return backend


register(
    "sticky_round_robin",
    StickyRoundRobin,
    "a client keeps its backend; new clients in turn, by weight",
    ("key", "clients"),
    ours=True,
)
