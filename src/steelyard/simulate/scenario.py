"""What is simulated, as frozen data: backends, traffic, trouble, and how the balancer is set up.

Times are in mean service times, the unit of the whole simulator, but for `service_s`, which says how many seconds
one of them is: policies that average or age count in seconds.
Nothing here parses or checks what people write: that is words.py.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from steelyard.core.guard import Outside
from steelyard.core.pool import Pool
from steelyard.core.spec import BackendSpec, EjectionSpec, HealthCheckSpec, PolicySpec, PoolSpec, RetrySpec
from steelyard.core.table import Table
from steelyard.simulate.trace import Trace

FAILED_STATUS: Final = 503  # of an answer that is a failure: one that `retry.on_status` may list


@dataclass(frozen=True, slots=True)
class Server:
    """One simulated backend: `concurrency` requests at a time, each `speed` times as fast as usual; others wait."""

    speed: float = 1.0
    concurrency: int = 1
    weight: int = 1
    max_connections: int | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong at some backends (indexes from 0) from start to end.

    kind: `slow` (value times slower), `fail` (this share is answered with an error after its service), `fast_fail`
    (this share at once), `down` (nothing is there: connections are refused, and what was in flight is lost).
    """

    kind: str
    value: float
    servers: tuple[int, ...]
    start: float = 0.0
    end: float = inf


@dataclass(frozen=True, slots=True)
class Service:
    """How long requests take, 1 on average. kind: `exponential`, `fixed`, `bimodal` or `trace`.

    times, share: of `bimodal`, this share takes so many times as long as the others.
    """

    kind: str = "exponential"
    times: float = 10.0
    share: float = 0.1


@dataclass(frozen=True, slots=True)
class Scenario:
    """One comparison: everything but the policy.

    load: arrivals as a share of what all backends can serve; None keeps a trace's own times.
    arrivals: `poisson`, `uniform` (evenly spaced) or `trace`. keys: how many clients there are, drawn by Zipf's law
    with exponent `zipf` (0: all alike). checks: from one health check to the next, 0.0 for none. tries: backends
    asked for one request. retry_failures: failed answers too are tried elsewhere. workers: processes of the balancer;
    shared_view: each sees what the others have in flight. probe_delay: until a backend's answer to a probe.
    warmup: share of the requests, from the first, that the figures leave out. ejection: backends are ejected by how
    they answer, as by default.
    """

    servers: tuple[Server, ...]
    requests: int
    load: float | None = 0.8
    arrivals: str = "poisson"
    service: Service = Service()
    trace: Trace | None = None
    keys: int = 10_000
    zipf: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    checks: float = 20.0
    tries: int = 3
    retry_failures: bool = False
    workers: int = 1
    shared_view: bool = True
    service_s: float = 0.1
    probe_delay: float = 0.01
    warmup: float = 0.1
    seed: int = 1
    ejection: bool = True

    @property
    def capacity(self) -> float:
        """Requests of mean length that all backends together serve in one unit of time, while all are well."""
        return sum(server.speed * server.concurrency for server in self.servers)

    def pool(self, policy: PolicySpec) -> PoolSpec:
        """The pool as a configuration would describe it."""
        check = None if self.checks <= 0.0 else HealthCheckSpec(interval_s=self.checks * self.service_s)
        return PoolSpec(
            "simulated",
            tuple(
                BackendSpec(f"backend-{number}", 80, server.weight, server.max_connections)
                for number, server in enumerate(self.servers, 1)
            ),
            policy,
            check,
            RetrySpec(tries=self.tries, on_status=(FAILED_STATUS,) if self.retry_failures else ()),
            ejection=EjectionSpec() if self.ejection else None,
        )


def make_pools(scenario: Scenario, policy: PolicySpec, outside: Outside) -> list[Pool]:
    """One pool for each worker: over one table, or each over its own."""
    spec = scenario.pool(policy)
    rows = Pool.rows_needed(spec)
    workers = scenario.workers
    if not scenario.shared_view:
        tables = [Table(bytearray(Table.size_bytes(rows, 1)), rows) for _ in range(workers)]
    else:
        buffer = bytearray(Table.size_bytes(rows, workers))
        tables = [Table(buffer, rows, workers, worker) for worker in range(workers)]
    return [Pool(spec, table, 0, outside) for table in tables]
