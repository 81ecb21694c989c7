"""Pools and requests for the tests of core, in one line each."""

import random
from collections.abc import Callable, Mapping, Sequence

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, create
from steelyard.core.pool import Pool
from steelyard.core.spec import BackendSpec, HealthCheckSpec, PolicySpec, PoolSpec, RetrySpec
from steelyard.core.table import Table

CHECK = HealthCheckSpec()


def no_chance(n: int) -> int:
    """For requests whose policy has no business to draw."""
    raise AssertionError(f"drew below {n}")


def seeded(seed: int) -> Callable[[int], int]:
    """Randomness that every run repeats."""
    return random.Random(seed).randrange


def scripted(*draws: int) -> Callable[[int], int]:
    """Randomness that draws these numbers; each must be possible."""
    left = list(draws)

    def below(n: int) -> int:
        drawn = left.pop(0)
        assert 0 <= drawn < n
        return drawn

    return below


class Ask(Pick):
    """A request whose parts are written down."""

    def __init__(self, parts: Mapping[str, str], below: Callable[[int], int] = no_chance) -> None:
        super().__init__(below)
        self.parts = parts
        self.asked: list[str] = []

    def get(self, name: str) -> str | None:
        self.asked.append(name)
        return self.parts.get(name)


def a_table(rows: int, workers: int = 1) -> Table:
    return Table(bytearray(Table.size_bytes(rows, workers)), rows, workers)


def a_policy(
    name: str, weights: Sequence[int], *, choices: int = 2, limit: int | None = None
) -> tuple[Policy, list[Backend]]:
    """A policy over backends `0`, `1`, ... of these weights, ready to pick."""
    table = a_table(len(weights) + 1)
    specs = [BackendSpec(str(index), 80, weight, limit) for index, weight in enumerate(weights)]
    backends = [Backend(spec, table, row + 1, 0) for row, spec in enumerate(specs)]
    # A small table: interpreted, to fill maglev's own takes a tenth of a second.
    policy = create(PolicySpec(name, choices=choices, table_size=1021), table, 0)
    policy.rebuild(backends)
    return policy, backends


def a_pool(
    size: int = 3,
    *,
    policy: PolicySpec | None = None,
    check: HealthCheckSpec | None = CHECK,
    retry: RetrySpec | None = None,
    limit: int | None = None,
) -> Pool:
    specs = tuple(BackendSpec(f"10.0.0.{index + 1}", 80, 1, limit) for index in range(size))
    spec = PoolSpec("web", specs, policy or PolicySpec(), check, retry or RetrySpec())
    rows = Pool.rows_needed(spec)
    return Pool(spec, a_table(rows), 0)


def served(policy: Policy, request: Pick, picks: int) -> list[str]:
    """The hosts of so many picks in a row, none of them counted as in flight."""
    hosts = []
    for _ in range(picks):
        backend = policy.pick(request)
        assert backend is not None
        hosts.append(backend.host)
    return hosts
