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
from steelyard.core.stable import stable_hash
from steelyard.core.table import Table

# Constants of our own, which backend.pxd makes C integers: the table's are Python's, looked up at every use.
STATUS: Final = cells.STATUS
DRAINING: Final = cells.DRAINING
WEIGHT: Final = cells.WEIGHT
SHARE: Final = cells.SHARE
UP_SINCE: Final = cells.UP_SINCE
EJECTED: Final = cells.EJECTED
CIRCUIT: Final = cells.CIRCUIT
STOPS: Final = cells.STOPS
GENERATION: Final = cells.GENERATION
IN_FLIGHT: Final = cells.IN_FLIGHT
REQUESTS: Final = cells.REQUESTS
FAILURES: Final = cells.FAILURES
OUTCOMES: Final = cells.OUTCOMES
UNJUDGED: Final = cells.UNJUDGED
EJECTIONS: Final = cells.EJECTIONS
TRIPS: Final = cells.TRIPS
UP: Final = cells.UP
DOWN: Final = cells.DOWN
SILENT: Final = cells.SILENT
STATUS_BITS: Final = cells.STATUS_BITS
HEALTH_SHIFT: Final = cells.HEALTH_SHIFT
SETTLED: Final = cells.SETTLED
UNLIMITED: Final = -1
UNIT: Final = cells.WEIGHT_UNIT


class Backend:
    """One server of a pool.

    row: its row of the table. home: the row of its tier, where changes are announced; announced_at: where they are
    since it is in another tier, for the requests that were in flight then.
    tier: which one of its pool's tiers that is, from 0. label: what the logs call it. key: its own stable hash.
    fresh: its weight is written into the table; else it is there, as configured or as it was set since. The other
    numbers are left alone.
    """

    def __init__(self, spec: BackendSpec, table: Table, row: int, home: int, tier: int = 0, fresh: bool = True) -> None:
        self.spec = spec
        self.host = spec.host
        self.port = spec.port
        self.address = spec.address
        self.label = spec.address
        self.max_connections = spec.max_connections
        self.table = table
        self.row = row
        self.home = home
        self.announced_at = home
        self.tier = tier
        self.key = stable_hash(spec.address)
        self.limit = UNLIMITED if spec.max_connections is None else spec.max_connections
        self.was_away = False
        if fresh:
            table.set(row, WEIGHT, spec.weight)
            table.set(row, SHARE, spec.weight * UNIT)

    def __repr__(self) -> str:
        return f"<Backend {self.label}>"

    def adopt(self, spec: BackendSpec, tier: int) -> None:
        """The configuration is another one, of the same server in the same tier, whose place may have changed."""
        self.spec = spec
        self.max_connections = spec.max_connections
        self.limit = UNLIMITED if spec.max_connections is None else spec.max_connections
        self.tier = tier

    def follow(self, other: "Backend") -> None:
        """The server is in another tier now, seen as `other`: what is noticed by us is news there."""
        self.announced_at = other.home

    def count_in_flight(self) -> int:
        """Requests in flight from all workers."""
        return self.table.total(self.row, IN_FLIGHT)

    def count_requests(self) -> int:
        """Requests ever sent, tries included."""
        return self.table.total(self.row, REQUESTS)

    def share(self) -> int:
        """The weight that counts now, in thousandths (see UNIT): during a slow start less than `weight` says."""
        return self.table.get(self.row, SHARE)

    def is_healthy(self) -> bool:
        """Whether nothing is known against it."""
        return self.table.get(self.row, STATUS) & STATUS_BITS == UP

    def is_settled(self) -> bool:
        """Whether it is up with nothing against it, so that an answer is no news."""
        return self.table.get(self.row, STATUS) == SETTLED

    def is_draining(self) -> bool:
        """Whether it only finishes what it has."""
        return self.table.get(self.row, DRAINING) != 0

    def is_full(self) -> bool:
        """Whether it has max_connections requests in flight (several workers may overshoot by one each)."""
        return self.limit != UNLIMITED and self.count_in_flight() >= self.limit

    def is_member(self) -> bool:
        """Whether it would take new requests if only it were healthy and not full."""
        return self.share() > 0 and not self.is_draining()

    def takes_requests(self, panic: bool) -> bool:
        """Whether it would take new requests if only it were not full.

        panic: neither what checks say counts nor that it is ejected. An open circuit always counts.
        """
        status = self.table.get(self.row, STATUS) & STATUS_BITS
        if not panic and (status != UP or self.table.get(self.row, EJECTED) != 0):
            return False
        return status != SILENT and self.table.get(self.row, CIRCUIT) & STOPS == 0 and self.is_member()

    def would_take(self, panic: bool) -> bool:
        """Whether it would take new requests if only its circuit were not open."""
        status = self.table.get(self.row, STATUS) & STATUS_BITS
        fit = status == UP and self.table.get(self.row, EJECTED) == 0
        return (fit or (panic and status != SILENT)) and self.is_member()

    def is_available(self) -> bool:
        """Whether a policy may pick it."""
        return self.takes_requests(False) and not self.is_full()

    def load(self) -> float:
        """What it would carry with one request more, per unit of weight: (in flight + 1) / weight."""
        share = self.share()
        return (self.count_in_flight() + 1) * UNIT / share if share > 0 else inf

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

    def leave_unjudged(self) -> int:
        """Count a request that ended without saying anything of it. Returns 0."""
        self.table.add_mine(self.row, UNJUDGED, 1)
        return 0

    def health(self) -> tuple[int, int]:
        """UP, DOWN or SILENT, and the code of the machine that has led there (core/health.py)."""
        cell: int = self.table.get(self.row, STATUS)
        return cell & STATUS_BITS, cell >> HEALTH_SHIFT

    def move(self, before: tuple[int, int], after: tuple[int, int], now: float) -> bool:
        """Go from one `health` to another for all workers; False when it is no longer the first: then look again.

        now: monotonic seconds; where a slow start begins.
        """
        (was, came_from), (status, code) = before, after
        if was != UP == status:
            # Before the status: who sees that it is up must find when it came. If the swap fails, nobody has looked.
            self.table.set(self.row, UP_SINCE, max(1, int(now * 1000)))
        if not self.table.swap(self.row, STATUS, came_from << HEALTH_SHIFT | was, code << HEALTH_SHIFT | status):
            return False
        if was != status:
            self.announce()
        return True

    def set_status(self, status: int, now: float) -> None:
        """Say for all workers whether it is UP, DOWN or SILENT, whatever its machine has come to."""
        while True:
            was, code = self.health()
            if status == was or self.move((was, code), (status, code), now):
                return

    def set_healthy(self, healthy: bool, now: float = 0.0) -> None:
        """Say for all workers whether it is up."""
        self.set_status(UP if healthy else SILENT, now)

    def set_draining(self, draining: bool) -> None:
        """Say for all workers whether it only finishes what it has."""
        self.table.set(self.row, DRAINING, 1 if draining else 0)
        self.announce()

    def set_weight(self, weight: int) -> None:
        """Give it another weight, for all workers. weight: a whole number; 0 takes no new request."""
        if weight < 0:
            raise ValueError(f"{self.label}: weight {weight} is below 0")
        self.table.set(self.row, WEIGHT, weight)
        self.set_share(weight * UNIT)

    def set_share(self, share: int) -> None:
        """Say how much of its weight counts for now; see `share`."""
        self.table.set(self.row, SHARE, share)
        self.announce()

    def up_since_s(self) -> float:
        """When it came back, in monotonic seconds; 0.0 when it was never away, or its slow start is over."""
        return self.table.get(self.row, UP_SINCE) / 1000

    def settle(self) -> None:
        """Its slow start is over."""
        self.table.set(self.row, UP_SINCE, 0)

    def ejected_until_ms(self) -> int:
        """Until when it is left alone, in monotonic milliseconds; 0 when it is not (core/outlier.py)."""
        return self.table.get(self.row, EJECTED)

    def put_back(self, now: float, slowly: bool) -> bool:
        """End its ejection where its time is over; whether we have, and not another worker.

        slowly: its slow start begins, unless checks have taken it out as well.
        """
        until_ms = self.ejected_until_ms()
        if until_ms == 0 or now * 1000 < until_ms:
            return False
        if slowly and self.is_healthy():
            self.table.set(self.row, UP_SINCE, max(1, int(now * 1000)))  # before the rest, as in `move`
        if not self.table.swap(self.row, EJECTED, until_ms, 0):
            return False
        self.announce()
        return True

    def see_ejection(self) -> int:
        """Start its latest outcomes anew where it has come back since the last look. Returns 0.

        They are each worker's own, so each does that, and nobody is held to what was before.
        """
        away = self.ejected_until_ms() != 0
        if self.was_away and not away:
            self.table.set_mine(self.row, OUTCOMES, 0)
        self.was_away = away
        return 0

    def pardon(self) -> bool:
        """Forget all ejections, since nobody ejects any more; whether it was ejected."""
        if self.table.get(self.row, cells.PENALTIES) != 0:
            self.table.set(self.row, cells.PENALTIES, 0)
        if self.table.mine(self.row, OUTCOMES) != 0:
            self.table.set_mine(self.row, OUTCOMES, 0)
        return self.clear(EJECTED)

    def close_circuit(self) -> bool:
        """Close its circuit, since nobody looks after it any more; whether it was not."""
        if self.table.get(self.row, cells.IN_A_ROW) != 0:
            self.table.set(self.row, cells.IN_A_ROW, 0)
        return self.clear(CIRCUIT)

    def clear(self, cell: int) -> bool:
        """Have nothing in a cell any more that kept requests away, and announce it; whether there was something."""
        if self.table.get(self.row, cell) == 0:
            return False
        self.table.set(self.row, cell, 0)
        self.announce()
        return True

    def circuit(self) -> int:
        """The cell of its circuit; 0 while that is closed (core/breaker.py)."""
        return self.table.get(self.row, CIRCUIT)

    def announce(self) -> None:
        """Let every worker's tier see that something about it has changed."""
        self.table.fetch_add(self.announced_at, GENERATION, 1)

    @property
    def weight(self) -> int:
        """The weight as configured, or as it was set since; a whole number."""
        return self.table.get(self.row, WEIGHT)

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
    def ejections(self) -> int:
        """How often it was ejected."""
        return self.table.total(self.row, EJECTIONS)

    @property
    def trips(self) -> int:
        """How often its circuit was opened."""
        return self.table.total(self.row, TRIPS)

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
        """Healthy, not ejected, its circuit not open, not draining, not full, and of a weight above 0."""
        return self.is_available()
