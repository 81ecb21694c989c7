"""A pool's next configuration, built beside the one that serves, a few backends at a time.

A backend that stays keeps its `Backend`, and with it what policies and connections know of it; so does a tier whose
policy stays keep that. All else is made new here, while requests go on: `Pool.adopt` is then the switch. To build ten
thousand backends takes longer than a request should wait, so `advance` builds no more than it is told to.
"""

from collections.abc import Mapping
from typing import NamedTuple

from steelyard.core.approaches import Approaches
from steelyard.core.backend import Backend
from steelyard.core.guard import Outside, make
from steelyard.core.rows import PoolRows, rank_of, ranks_of
from steelyard.core.spec import PoolSpec
from steelyard.core.sticky import Stickiness
from steelyard.core.table import Table
from steelyard.core.tier import Tier


class Before(NamedTuple):
    """What the pool is now: backends by address, tiers by row, the cookies. Of a new pool, nothing."""

    backends: Mapping[str, Backend]
    tiers: Mapping[int, Tier]
    policy: object
    sticky: Stickiness | None


NOTHING = Before({}, {}, None, None)


class Draft:
    """backends, ranks: in the order of the specification; of the kept ones their own specification is still the old.

    moved: those that are in another tier now, as they were and as they will be.
    tiers: in order; those of `kept` still have their old backends. fresh: weights are written into the table.
    """

    def __init__(
        self, spec: PoolSpec, table: Table, rows: PoolRows, outside: Outside | None, fresh: bool, before: Before
    ) -> None:
        self.spec = spec
        self.table = table
        self.rows = rows
        self.outside = outside
        self.fresh = fresh
        self.before = before
        self.rank_at = {rank: at for at, rank in enumerate(ranks_of(spec))}
        self.backends: list[Backend] = []
        self.ranks: list[int] = []
        self.moved: list[tuple[Backend, Backend]] = []
        self.of_tier: list[list[Backend]] = [[] for _ in self.rank_at]
        self.tiers: list[Tier] = []
        self.kept: set[Tier] = set()
        self.sticky: Stickiness | None = None
        self.done = False

    def advance(self, count: int) -> bool:
        """Build at most so many backends more; when there are all, a tier, or the cookies. False: all is built."""
        if len(self.backends) < len(self.spec.backends):
            start = len(self.backends)
            for at in range(start, min(start + count, len(self.spec.backends))):
                self._add_backend(at)
        elif len(self.tiers) < len(self.rows.tiers):
            self._add_tier(len(self.tiers))
        elif not self.done:
            if self.spec.sticky is not None:
                self.sticky = Stickiness(self.spec.sticky, self.spec.name, self.backends, self.before.sticky)
            self.done = True
        return not self.done

    def _add_backend(self, at: int) -> None:
        spec = self.spec.backends[at]
        rank = self.rank_at[rank_of(spec)]
        row, home = self.rows.backends[at], self.rows.tiers[rank]
        known = backend = self.before.backends.get(spec.address)
        if backend is None or backend.row != row or backend.home != home:
            backend = Backend(spec, self.table, row, home, rank, self.fresh)
            if known is not None and known.row == row:
                self.moved.append((known, backend))
        self.backends.append(backend)
        self.ranks.append(rank)
        self.of_tier[rank].append(backend)

    def _add_tier(self, rank: int) -> None:
        row = self.rows.tiers[rank]
        tier = self.before.tiers.get(row)
        same = tier is not None and isinstance(tier.policy, Approaches) == self.spec.approaches
        if tier is not None and same and self.before.policy == self.spec.policy:
            self.kept.add(tier)
        else:
            build = Approaches if self.spec.approaches else make
            policy = build(self.spec.policy, self.table, row, self.outside)
            tier = Tier(self.spec, self.table, row, self.of_tier[rank], policy)
        self.tiers.append(tier)
