"""Policies that hash, and many keys for them."""

from collections import Counter
from collections.abc import Sequence

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, create
from steelyard.core.pool import Pool
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec
from steelyard.core.stable import mix
from tests.fakes_core import a_table, no_chance

HASHING = ("hash", "consistent_hash", "maglev", "rendezvous")
CONSISTENT = HASHING[1:]


def some_keys(count: int, seed: int = 0) -> list[int]:
    """Keys as hashes are: 64 bits, any of them, but none is 0."""
    return [mix(seed, n) or 1 for n in range(count)]


def keyed(
    name: str,
    weights: Sequence[int],
    *,
    hosts: Sequence[str] | None = None,
    table_size: int = 65537,
    bound: float | None = None,
    limit: int | None = None,
) -> tuple[Policy, list[Backend]]:
    """A policy over backends of these weights, called `0`, `1`, ... or as said."""
    table = a_table(len(weights) + 1)
    called = [str(index) for index in range(len(weights))] if hosts is None else hosts
    specs = [BackendSpec(host, 80, weight, limit) for host, weight in zip(called, weights, strict=True)]
    backends = [Backend(spec, table, row + 1, 0) for row, spec in enumerate(specs)]
    policy = create(PolicySpec(name, table_size=table_size, bound=bound), table, 0)
    policy.rebuild(backends)
    return policy, backends


def keyed_pool(name: str, weights: Sequence[int], *, bound: float, limit: int | None = None) -> Pool:
    """A pool with a bound, which counts what is in flight."""
    specs = tuple(BackendSpec(str(index), 80, weight, limit) for index, weight in enumerate(weights))
    spec = PoolSpec("web", specs, PolicySpec(name, bound=bound, table_size=1021))
    return Pool(spec, a_table(Pool.rows_needed(spec)), 0)


def owner(policy: Policy, key: int, tried: list[Backend] | None = None) -> str:
    """The host that a key goes to."""
    backend = policy.pick(Pick(no_chance, key=key, tried=tried))
    assert backend is not None
    return backend.host


def owners(policy: Policy, keys: Sequence[int]) -> list[str]:
    return [owner(policy, key) for key in keys]


def shares(policy: Policy, keys: Sequence[int]) -> Counter[str]:
    """How many of the keys each host has."""
    return Counter(owners(policy, keys))
