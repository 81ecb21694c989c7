"""A pool as the balancer has it, with a clock and dice that a test turns: so policies can be tried out by hand.

It is the real `Pool`, one for each worker over one table. A policy of one's own is watched as in the balancer, except
that here the first fault that it makes is an AssertionError, and nobody answers in its place. Chance is drawn from a
seed: a run is like the last one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.guard import Guarded, Outside
from steelyard.core.policy import Pick, Policy
from steelyard.core.pool import Pool
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec
from steelyard.core.stable import mix, unit
from steelyard.core.table import Table

STEP_S: Final = 0.001  # from one request to the next
ANSWER_S: Final = 0.010  # how long an answer takes, where nothing else is said...
SCATTER: Final = 0.2  # ...give or take a tenth: where all were the same, the last digit of an average would decide
START_S: Final = 1000.0  # a monotonic clock does not begin at 0

Between = Callable[[Policy, float], None]


class Dice:
    """Whole numbers by chance, from a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.drawn = 0

    def bits(self) -> int:
        """64 of them, never all 0."""
        self.drawn += 1
        return mix(self.seed, self.drawn) or 1

    def below(self, n: int) -> int:
        """One in [0, n), all equally likely."""
        assert n > 0, f"drew a number below {n}: there is none"
        return self.bits() % n


class Request(Pick):
    """A request whose parts all follow from its key; key 0 has no parts but those that every request has."""

    def get(self, name: str) -> str | None:
        """As the balancer's own requests: `path`, `host`, `client_ip`, `method`, `header:NAME`..."""
        if name == "client_ip":
            return f"10.{self.key >> 16 & 255}.{self.key >> 8 & 255}.{self.key & 255}"
        if name in ("host", "method"):
            return {"host": "conformance.test", "method": "GET"}[name]
        if name == "path":
            return f"/{self.key:x}"
        return f"{self.key:x}" if self.key else None


@dataclass(frozen=True, slots=True)
class Held:
    """A request in flight. index: of its backend."""

    request: Request
    backend: Backend
    index: int
    worker: int


class Scene:
    """Backends of these weights, and what becomes of requests to them.

    limit: of requests in flight at each backend. workers: pools over the same table. may_abstain: None is taken for
    "ask my fallback". between: called with each worker's policy and the time after every request.
    """

    def __init__(
        self,
        spec: PolicySpec,
        weights: Sequence[int],
        *,
        limit: int | None = None,
        workers: int = 1,
        seed: int = 1,
        may_abstain: bool = False,
        between: Between | None = None,
    ) -> None:
        backends = [
            BackendSpec(f"10.0.{number // 250}.{number % 250}", 80, weight, limit)
            for number, weight in enumerate(weights)
        ]
        of_pool = PoolSpec("conformance", tuple(backends), spec, health_check=None, panic_threshold=0.0, ejection=None)
        rows = Pool.rows_needed(of_pool)
        buffer = bytearray(Table.size_bytes(rows, workers))
        outside = Outside(lambda: 0.0, _fail)
        self.pools = [Pool(of_pool, Table(buffer, rows, workers, worker), 0, outside) for worker in range(workers)]
        self.backends = self.pools[0].backends
        self.indexes = {backend: index for pool in self.pools for index, backend in enumerate(pool.backends)}
        self.policy = self.pools[0].policy
        for pool in self.pools:
            if isinstance(pool.policy, Guarded) and not may_abstain:
                pool.policy.fallback = _NoFallback(spec, pool.table, pool.policy.row)
                pool.policy.fallback.rebuild(pool.backends)
        self.dice = Dice(seed)
        self.times = Dice(~seed & 0xFFFF_FFFF)
        self.between = between
        self.now = START_S

    def request(self, key: int | None = None, tried: Sequence[Backend] = ()) -> Request:
        """A request at this time; key: None draws one."""
        return Request(self.dice.below, self.dice.bits() if key is None else key, self.now, list(tried) or None)

    def ask(self, key: int | None = None, tried: Sequence[Backend] = (), worker: int = 0) -> Held | None:
        """Have a backend chosen and count the request as in flight; None where the pool refuses."""
        request = self.request(key, tried)
        found = self.pools[worker].acquire(request)
        self.pass_time(STEP_S)
        return Held(request, found, self.indexes[found], worker) if isinstance(found, Backend) else None

    def must(self, key: int | None = None, tried: Sequence[Backend] = (), worker: int = 0) -> Held:
        """As `ask`, where somebody can be picked."""
        held = self.ask(key, tried, worker)
        assert held is not None, "nobody was picked, though there are backends that may be"
        return held

    def again(self, held: Held) -> Held:
        """The same request at another backend, while it is still at the first."""
        held.request.tried = [held.backend]
        found = self.pools[held.worker].acquire(held.request)
        assert isinstance(found, Backend), "nobody was picked for another try, though there are backends that may be"
        return Held(held.request, found, self.indexes[found], held.worker)

    def end(self, held: Held, *, failed: bool = False, latency_s: float | None = None) -> None:
        """End a request, well or ill; latency_s: None draws one."""
        if latency_s is None:
            latency_s = ANSWER_S * (1 + SCATTER * (unit(self.times.bits()) - 0.5))
        self.pools[held.worker].release(held.request, held.backend, failed, self.now, latency_s)

    def once(self, key: int | None = None, tried: Sequence[Backend] = (), worker: int = 0) -> int:
        """The index of the backend of a request that is over at once."""
        held = self.must(key, tried, worker)
        self.end(held)
        return held.index

    def run(self, count: int, in_flight: int = 0, every_s: float = STEP_S) -> list[int]:
        """So many requests by all workers in turn, so many of them in flight; how many each backend got.

        every_s: from one request to the next.
        """
        got = [0] * len(self.backends)
        held: deque[Held] = deque()
        for number in range(count):
            held.append(self.must(worker=number % len(self.pools)))
            got[held[-1].index] += 1
            if len(held) > in_flight:
                self.end(held.popleft())
            if every_s > STEP_S:
                self.pass_time(every_s - STEP_S)
        for left in held:
            self.end(left)
        return got

    def load(self, index: int, requests: int, worker: int = 0) -> list[Held]:
        """Requests in flight at one backend: the others are tried already."""
        pool = self.pools[worker]
        others = [backend for backend in pool.backends if self.indexes[backend] != index]
        return [self.must(tried=others, worker=worker) for _ in range(requests)]

    def pass_time(self, seconds: float) -> None:
        """Turn the clock."""
        self.now += seconds
        if self.between is not None:
            for pool in self.pools:
                self.between(pool.policy, self.now)


class _NoFallback(Policy):
    """In place of the fallback of a policy that is to choose by itself."""

    def pick(self, request: Pick) -> Backend | None:
        """Is only asked where that one had no answer."""
        there = len(self.candidates(request))
        assert there == 0, f"the policy picked nobody, though {there} may be (set may_abstain where it is to be so)"
        return None


def _fail(message: str) -> None:
    raise AssertionError(message)
