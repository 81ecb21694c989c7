"""What at the front door has a row of the table: each listener and each rate limit; under which name, with what memory.

A row stays with its name through every reload, and so do counts. A listener is the same as long as its address is,
whatever it is called. A limit is the same as long as its listener, the match of its route, its rate and its key are;
with another burst it goes on, and with room for another number of keys it begins anew.
"""

from collections.abc import Mapping
from mmap import mmap
from typing import Any

from steelyard.control import units
from steelyard.core.crowd import CLIENTS, Crowd, crowd_cells
from steelyard.core.door import CONNECTIONS, CROWDED, IN_FLIGHT, LIMITED, OVER, OVERLOADED
from steelyard.core.ratelimit import RateLimit, cells_needed
from steelyard.core.spec import ListenerSpec, RouteSpec, Spec
from steelyard.core.table import CELL_BYTES, LOT, Table
from steelyard.proxy.bind import key_of


def name_of_listener(listener: ListenerSpec) -> str:
    """Of its row."""
    return f"listener {key_of(listener)}"


def name_of_limit(listener: ListenerSpec, route: RouteSpec) -> str:
    """Of the row of this route's limit, which it must have."""
    limit = route.rate_limit
    assert limit is not None
    match = (route.path, route.hosts, route.methods, route.headers, route.content_type)
    return f"limit {key_of(listener)} {match} {limit.rate!r} {limit.key} {limit.most_keys}"


def lots_of_front(spec: Spec) -> dict[str, int]:
    """Every name, with how many cells it needs behind the table's rows; 0 for none."""
    needed: dict[str, int] = {}
    for listener in spec.listeners:
        counts = listener.max_connections_per_client is not None
        needed[name_of_listener(listener)] = crowd_cells(CLIENTS) if counts else 0
        for route in listener.routes:
            if route.rate_limit is not None:
                needed[name_of_limit(listener, route)] = cells_needed(route.rate_limit)
    return needed


def without_lot(spec: Spec, name: str) -> str:
    """What to log where a row of this specification gets no lot. Raises KeyError where none has that name."""
    for listener in spec.listeners:
        where = f"listener {listener.name} ({listener.address})"
        if name == name_of_listener(listener):
            return (
                f"{where}: max_connections_per_client has no room in the memory that limits share: each worker counts "
                "for itself; give rate limits fewer keys"
            )
        for route in listener.routes:
            limit = route.rate_limit
            if limit is not None and name == name_of_limit(listener, route):
                return (
                    f"{where}, route {_match_of(route)}: rate_limit has no room for its {limit.most_keys} keys in the "
                    "memory that limits share: each worker limits for itself; give it fewer keys"
                )
    raise KeyError(name)


def numbers(listener: ListenerSpec, front: Mapping[str, int], table: Table) -> dict[str, Any]:
    """A listener's live numbers and those of its limits, over all workers, as what JSON knows; None for no limit.

    in_flight: None too where requests are not counted, as nothing limits them. limited: refused requests. over: those
    that a limit with dry_run would have refused.
    """
    row = front[name_of_listener(listener)]
    limits = []
    for route in listener.routes:
        limit = route.rate_limit
        if limit is not None:
            at = front[name_of_limit(listener, route)]
            limits.append(
                {
                    "route": _match_of(route),
                    "rate": units.format_rate(limit.rate),
                    "burst": limit.at_once,
                    "key": limit.key,
                    "dry_run": limit.dry_run,
                    "limited": table.total(at, LIMITED),
                    "over": table.total(at, OVER),
                }
            )
    return {
        "connections": table.total(row, CONNECTIONS),
        "max_connections": listener.max_connections,
        "max_connections_per_client": listener.max_connections_per_client,
        "crowded": table.total(row, CROWDED),
        "in_flight": None if listener.max_in_flight is None else table.total(row, IN_FLIGHT),
        "max_in_flight": listener.max_in_flight,
        "overloaded": table.total(row, OVERLOADED),
        "limits": limits,
    }


def _match_of(route: RouteSpec) -> str:
    """What a route takes, in a few words."""
    parts = [*route.methods, *route.hosts, route.path or "*", *(f"{name}: {value}" for name, value in route.headers)]
    return " ".join([*parts, *filter(None, [route.content_type])])


class Front:
    """One worker's limits, through its configurations: what stays the same goes on, with what it knows."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.limits: dict[str, RateLimit] = {}

    def adopt(self, spec: Spec, rows: Mapping[str, int]) -> None:
        """Have the limits of this specification. rows: of the front, by name."""
        before, self.limits = self.limits, {}
        for listener in spec.listeners:
            for route in listener.routes:
                if route.rate_limit is not None:
                    name = name_of_limit(listener, route)
                    limit = before.get(name)
                    if limit is None or not limit.serves(route.rate_limit, rows[name]):
                        limit = RateLimit(route.rate_limit, self.table, rows[name])
                    self.limits[name] = limit

    def limit_of(self, listener: ListenerSpec, route: RouteSpec) -> RateLimit | None:
        """Of this route, if it has one."""
        return None if route.rate_limit is None else self.limits[name_of_limit(listener, route)]

    def crowd_of(self, listener: ListenerSpec, row: int, before: Crowd | None) -> Crowd | None:
        """What counts each client's connections, if anything does. before: what has done so until now."""
        most = listener.max_connections_per_client
        if most is None:
            return None
        lot, needed = self.table.get(row, LOT), crowd_cells(CLIENTS)
        if before is not None and (before.row, before.lot) == (row, lot):
            before.most = most
            return before
        if lot > 0:
            return Crowd(self.table, row, self.table.rest, lot - 1, needed, most)
        return Crowd(self.table, row, memoryview(mmap(-1, needed * CELL_BYTES)).cast("q"), 0, needed, most)
