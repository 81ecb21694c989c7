"""Where one configuration sends a request of the past, as far as that can be said without the traffic around it.

All backends are taken to be up and idle, so what is said depends on the configuration and the request alone: its
route, and in the pool the backend that its cookie names or its key is hashed to. Real routers and real pools decide,
over tables of their own. Who rotates, draws or looks at loads says nothing without the traffic (bounded loads are
among these), so such a policy is not even made: one of somebody else's would run, and the others would learn.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Final, NamedTuple

from steelyard.core.policy import Pick
from steelyard.core.pool import Pool, Refusal
from steelyard.core.router import AMBIGUOUS, Router
from steelyard.core.spec import PolicySpec, PoolSpec, Spec
from steelyard.core.table import Table
from steelyard.errors import AMBIGUOUS_PATH, NO_ROUTE

# The built-in ones whose choice is a function of the key.
HASHING: Final = frozenset({"hash", "consistent_hash", "maglev", "rendezvous"})
_ALL_IN_TURN: Final = PolicySpec("round_robin")

Parts = Mapping[str, str | None]


class By(Enum):
    """What a choice depends on. TURN: on nothing that is known of the request alone."""

    COOKIE = "cookie"
    KEY = "key"
    TURN = "turn"


class Choice(NamedTuple):
    """What a pool chooses. backend: its address; None by TURN."""

    by: By
    backend: str | None


class Place(NamedTuple):
    """What a route leads to. pool: its name; None where the balancer answers itself. answer: that, in words."""

    pool: str | None
    answer: str = ""


class Destinations:
    """One configuration, asked. Pools are made when they are first needed: some tables take a while to fill."""

    def __init__(self, spec: Spec) -> None:
        self.listeners = {listener.name: listener for listener in spec.listeners}
        self.pools = {pool.name: pool for pool in spec.pools}
        self._routers = {listener.name: Router(listener.routes) for listener in spec.listeners}
        self._reached = {
            listener.name: frozenset(route.pool for route in listener.routes if route.pool is not None)
            for listener in spec.listeners
        }
        self._quiet: dict[str, QuietPool] = {}

    def pools_of(self, listener: str) -> frozenset[str]:
        """The names of the pools that its routes lead to."""
        return self._reached[listener]

    def place(self, listener: str, parts: Parts) -> Place:
        """Where the listener's routes lead the request."""
        route = self._routers[listener].match(_Recent(parts))
        if route is None:
            return Place(None, str(NO_ROUTE.status))
        if route is AMBIGUOUS:
            return Place(None, str(AMBIGUOUS_PATH.status))
        if route.spec.respond is not None:
            return Place(None, f"answer {route.spec.respond.status}")
        return Place(route.spec.pool)

    def pool(self, name: str) -> "QuietPool":
        """The pool, ready to choose. Raises KeyError for a name that the configuration has not."""
        if name not in self._quiet:
            self._quiet[name] = QuietPool(self.pools[name])
        return self._quiet[name]

    def parts_of_routes(self, listener: str) -> set[str]:
        """The parts of a request that decide its route: those that the router may ask for."""
        names: set[str] = set()
        for route in self._routers[listener].routes:
            if route.takes_all:  # what stands behind it is never looked at
                break
            spec = route.spec
            asked = {"path": route.path, "host": spec.hosts, "method": spec.methods, "content_type": spec.content_type}
            names.update(name for name, wanted in asked.items() if wanted)
            names.update(f"header:{name}" for name, _ in spec.headers)
        return names


class QuietPool:
    """One pool, all of its backends up and nothing in flight. backends: by address."""

    def __init__(self, spec: PoolSpec) -> None:
        if not hashes(spec.policy):
            spec = replace(spec, policy=_ALL_IN_TURN)
        rows = Pool.rows_needed(spec)
        self.pool = Pool(spec, Table(bytearray(Table.size_bytes(rows, 1)), rows), 0)
        self.backends = {backend.address: backend for backend in self.pool.backends}
        self.tier = min((backend.tier for backend in self.pool.backends if backend.is_member()), default=0)

    def serves(self, address: str) -> bool:
        """Whether it may be chosen while all are up: it has a weight, and is in the first tier where one has."""
        backend = self.backends.get(address)
        return backend is not None and backend.is_member() and backend.tier == self.tier

    def choose(self, parts: Parts) -> Choice:
        """The choice for one request; nothing stays in flight. Never raises."""
        request = _Recent(parts)
        if self.pool.sticky is not None:
            kept = self.pool.sticky.find(request)
            if kept is not None and request.may_take(kept):
                return Choice(By.COOKIE, kept.address)
        if self.pool.key is None:
            return Choice(By.TURN, None)
        backend = self.pool.acquire(request)
        if isinstance(backend, Refusal):
            return Choice(By.TURN, None)
        self.pool.release(request, backend, False, 0.0)
        # Without a key it went to anyone.
        return Choice(By.TURN, None) if request.key == 0 else Choice(By.KEY, backend.address)


def hashes(policy: PolicySpec) -> bool:
    """Whether its choice is a function of the request's key."""
    return policy.name in HASHING and policy.bound is None


def parts_of_choice(pool: PoolSpec) -> set[str]:
    """The parts of a request that decide its backend; none of its body, which nobody has kept."""
    names = set() if pool.sticky is None else {f"cookie:{pool.sticky.cookie}"}
    key = pool.policy.key
    if hashes(pool.policy) and key is not None and not key.startswith("body:"):
        names.add("path" if key == "url" else key)
    return names


class _Recent(Pick):
    """A request of which some parts are known."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(_lowest)
        self.parts = parts

    def get(self, name: str) -> str | None:
        return self.parts.get(name)


def _lowest(n: int) -> int:
    """In place of chance: what would be drawn for is not used, and the same question has the same answer."""
    return 0
