"""The rate limit of a route: by which part of a request its clients are told apart, and what is counted.

Requests that have not that part (no such header) are one client, and so are those that have it twice: who could escape
a limit by leaving something out, or by adding something, would. Nor does another way to write a path help, or another
address of one's own network (clients.py). Where the limit is `global`, all are one.
"""

from mmap import mmap
from typing import Final

from steelyard.core import door
from steelyard.core import table as cells
from steelyard.core.clients import client_key
from steelyard.core.limiter import Limiter, limiter_cells
from steelyard.core.paths import normal
from steelyard.core.policy import Pick
from steelyard.core.spec import RateLimitSpec
from steelyard.core.stable import stable_hash
from steelyard.core.table import CELL_BYTES, Table

LOT: Final = cells.LOT
LOT_CELLS: Final = cells.LOT_CELLS
LIMITED: Final = door.LIMITED
OVER: Final = door.OVER

GLOBAL: Final = "global"
ALL: Final = stable_hash("")  # the key of those who have none


class RateLimit:
    """One limit, as the table's worker. row: of the table, with a lot where all workers limit as one.

    Without a lot this worker limits for itself, as if there were no other.
    """

    def __init__(self, spec: RateLimitSpec, table: Table, row: int) -> None:
        self.spec = spec
        self.table = table
        self.row = row
        self.part = None if spec.key == GLOBAL else "path" if spec.key == "url" else spec.key
        self.by_path = spec.key == "path"
        self.with_query = spec.key == "url"
        self.by_address = spec.key == "client_ip"
        self.dry = spec.dry_run
        needed = cells_needed(spec)
        self.lot = table.get(row, LOT)
        if self.lot > 0 and table.get(row, LOT_CELLS) >= needed:
            self.limiter = Limiter(table.rest, self.lot - 1, needed, spec.rate, spec.at_once)
        else:
            own = memoryview(mmap(-1, needed * CELL_BYTES)).cast("q")
            self.limiter = Limiter(own, 0, needed, spec.rate, spec.at_once)

    def serves(self, spec: RateLimitSpec, row: int) -> bool:
        """Whether it is what would be made for this specification at this row."""
        return self.spec == spec and self.row == row and self.table.get(row, LOT) == self.lot

    def wait(self, request: Pick, now: float) -> float:
        """0.0 when the request may pass; else how many seconds until its client may come again. Counts what it says."""
        wait = self.limiter.take(self.key_of(request), now)
        if wait > 0.0:
            if self.dry:
                self.table.add_mine(self.row, OVER, 1)
                return 0.0
            self.table.add_mine(self.row, LIMITED, 1)
        return wait

    def key_of(self, request: Pick) -> int:
        """Whose request it is."""
        if self.part is None:
            return ALL
        value = request.one(self.part)
        if value is None:
            return ALL
        if self.by_address:
            key: int = client_key(value)
            return key
        if self.with_query:
            value = f"{normal(value)}?{value.partition('?')[2]}"
        elif self.by_path:
            value = normal(value)
        return stable_hash(value)


def cells_needed(spec: RateLimitSpec) -> int:
    """How long its lot must be."""
    return limiter_cells(1 if spec.key == GLOBAL else spec.most_keys)
