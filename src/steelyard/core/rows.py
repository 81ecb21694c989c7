"""Which rows of the table a pool has: one a tier, where that tier's backends announce what changes, and one a backend.

Listeners and rate limits have a row each, too: the `front` of `Rows`, by names that control/front.py gives.

A row stays with its backend as long as the configuration has that backend, through every reload: what is in flight
there, its weight and its health stay where they are. Who gives rows out is control/ledger.py; where nothing is ever
reloaded they lie in order.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from steelyard.core.spec import BackendSpec, PoolSpec

Rank = tuple[bool, int]


class PoolRows(NamedTuple):
    """tiers: by rank, the first used first. backends: in the order of the specification."""

    tiers: tuple[int, ...]
    backends: tuple[int, ...]


class Rows(dict[str, PoolRows]):
    """The rows of a configuration: those of its pools, by their names, and the `front`, by theirs."""

    def __init__(self, pools: Mapping[str, PoolRows] | None = None, front: Mapping[str, int] | None = None) -> None:
        super().__init__(pools or {})
        self.front: Mapping[str, int] = front or {}

    def all(self) -> Iterator[int]:
        """Every row, once."""
        for of_pool in self.values():
            yield from of_pool.tiers
            yield from of_pool.backends
        yield from self.front.values()


def rank_of(backend: BackendSpec) -> Rank:
    """What orders tiers: the lower is used first."""
    return backend.backup, backend.tier


def ranks_of(spec: PoolSpec) -> list[Rank]:
    """One for each tier, in order; a pool without backends has one too."""
    return sorted({rank_of(backend) for backend in spec.backends}) or [(False, 0)]


def rows_needed(spec: PoolSpec) -> int:
    """How many rows a pool takes."""
    return len(ranks_of(spec)) + len(spec.backends)


def in_order(spec: PoolSpec, first_row: int) -> PoolRows:
    """So many rows from the first on: the tiers', then the backends'."""
    first_backend = first_row + len(ranks_of(spec))
    tiers = tuple(range(first_row, first_backend))
    return PoolRows(tiers, tuple(range(first_backend, first_backend + len(spec.backends))))
