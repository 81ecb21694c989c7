"""Sticky round robin: a client keeps its backend while that takes requests; new clients come in turn.

Who the client is, the request's key says (its address, unless the pool names another part of the request). Where a
client was sent is remembered for about as many as `clients` that were here last (core/homes.py says how exactly); a
request without a key only takes its turn.
A backend that is down, draining, gone or of weight 0 loses its clients for good: each that asks gets a new one, and
stays there. One that is only full, or has just failed this one request, keeps them: the next request may well find
room. Where a row is given to another backend after one is gone, that one has inherited its clients.
All workers remember as one where the tier has a lot of the table (control/lots.py), and then a worker's end or another
configuration forgets nobody; else each worker remembers for itself. Where a client must be found again after a
restart of all, the pool's `sticky` (a cookie) or a hashing policy does it without a memory.
Source: HAProxy's stick tables (the idea); the turns are round_robin's.
"""

from array import array
from collections.abc import Sequence
from typing import Final

from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.homes import Homes, cells_needed
from steelyard.core.policy import Pick, Policy, register
from steelyard.core.spec import PolicySpec
from steelyard.core.table import CELL_BYTES, Table
from steelyard.core.turns import Turns

LOT: Final = cells.LOT
LOT_CELLS: Final = cells.LOT_CELLS


class StickyRoundRobin(Policy):
    """`sticky_round_robin`."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.turns = Turns(table, row)
        needed = cells_needed(spec.clients)
        lot, length = table.get(row, LOT), table.get(row, LOT_CELLS)
        if lot > 0 and length >= needed:
            self.homes = Homes(table.rest, lot - 1, length)
        else:
            self.homes = Homes(array("q", bytes(CELL_BYTES * needed)), 0, needed)
        self.at_row: list[Backend | None] = []

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Fix the order of turns. What was sent to backends that are gone is forgotten when it is asked for."""
        self.backends = list(backends)
        self.at_row = [None] * (max([backend.row for backend in backends], default=-1) + 1)
        for backend in backends:
            self.at_row[backend.row] = backend
        self.turns.lay(self.backends)

    def pick(self, request: Pick) -> Backend | None:
        """The client's backend, or the next in turn."""
        if request.key == 0:
            return self.turns.next(request)
        home = self.member(self.homes.find(request.key))
        if home is not None and home.takes_requests(request.panic):
            return home if request.may_take(home) else self.turns.next(request)
        backend = self.turns.next(request)
        if backend is not None:
            self.homes.put(request.key, backend.row)
        return backend

    def member(self, row: int) -> Backend | None:
        """Who has this row; None for NOBODY's, and for one that is not of this tier, or no longer."""
        return self.at_row[row] if 0 <= row < len(self.at_row) else None


register(
    "sticky_round_robin",
    StickyRoundRobin,
    "a client keeps its backend; new clients in turn, by weight",
    ("key", "clients"),
    ours=True,
)
