"""Which row of the table belongs to which backend, tier, listener and rate limit, through every reload.

One process keeps it for all workers: the control process, or a balancer that is embedded. A configuration is planned
first: what stays keeps its rows, what is new gets rows that nobody uses, with its weight in them. Nothing of that
touches a row in use, so a plan may be dropped. Settled, it is in force: weights that the file has changed are set.
Weights that somebody has set since, and that the file has not changed, stay; so do health and all counts.

A row is given out anew only when no request is in flight there: requests to a backend that was removed may go on for
long. The ledger keeps no memory that could not be had from a plan in force and the table, so that a control process
that starts anew goes on with it.
"""

import logging
from collections import deque
from collections.abc import Mapping
from typing import Final

from steelyard.control.front import lots_of_front, without_lot
from steelyard.control.lots import Lots
from steelyard.core import table as cells
from steelyard.core.health import HealthMachine
from steelyard.core.homes import cells_needed
from steelyard.core.rows import PoolRows, Rank, Rows, rank_of, ranks_of
from steelyard.core.spec import BackendSpec, PoolSpec, Spec
from steelyard.core.table import Table
from steelyard.errors import ConfigError, Problem

Plan = Rows

# Room for all backends twice, as a reload may exchange every one, and for the tiers of many pools, for listeners and
# limits.
TIERS: Final = 4096
# Eight rate limits of a million keys, or ninety pools that remember 65,536 clients.
LOT_BYTES: Final = 256 * 1024 * 1024
STICKY: Final = "sticky_round_robin"
FIRST: Final = cells.FIRST_ROW
_NOTHING: Final = Spec((), ())

_log = logging.getLogger("steelyard")


def table_rows(max_backends: int) -> int:
    """How many rows a table for so many backends has."""
    return FIRST + 2 * max_backends + TIERS


def table_bytes(rows: int, workers: int) -> int:
    """How large its memory is, with the lots. What is never used takes up no memory, where that is mapped."""
    return Table.size_bytes(rows, workers) + LOT_BYTES


class Ledger:
    """The rows of one table. spec, rows: what is in force."""

    def __init__(self, table: Table, spec: Spec = _NOTHING, rows: Rows | None = None) -> None:
        self.table = table
        self.spec = spec
        self.rows = Rows() if rows is None else rows
        self.used = max(table.get(cells.BALANCER, cells.ROWS_USED), FIRST)
        held = set(self.rows.all())
        self.free = deque(row for row in range(FIRST, self.used) if row not in held)
        self.lots = Lots(table, _may_have_lots(self.rows))

    def plan(self, spec: Spec) -> Plan:
        """Rows for another configuration. Raises ConfigError when the table has none left."""
        tiers: dict[tuple[str, Rank], int] = {}
        backends: dict[tuple[str, str], int] = {}
        for pool in self.spec.pools:
            rows = self.rows[pool.name]
            tiers.update(zip([(pool.name, rank) for rank in ranks_of(pool)], rows.tiers, strict=True))
            backends.update(zip([(pool.name, one.address) for one in pool.backends], rows.backends, strict=True))
        for pool in spec.pools:
            if _remembers(pool):
                self._leave_lots_that_are_too_small(pool, tiers)
        given: list[int] = []
        front = lots_of_front(spec)
        try:
            plan = Rows(
                {pool.name: self._of_pool(pool, tiers, backends, given) for pool in spec.pools},
                {name: self._of_front(name, given) for name in front},
            )
        except ConfigError:
            self.free.extend(given)
            raise
        if len(self.table.rest) > 0:
            for pool in spec.pools:
                if _remembers(pool):
                    self._make_room(pool, plan[pool.name].tiers)
            for name, needed in front.items():
                if needed and not self.lots.ensure(plan.front[name], needed):
                    _log.warning("%s", without_lot(spec, name))
        return plan

    def _leave_lots_that_are_too_small(self, pool: PoolSpec, tiers: dict[tuple[str, Rank], int]) -> None:
        """Where a tier's memory is in use and is to grow, the tier gets another row: a plan touches nothing in use."""
        needed = cells_needed(pool.policy.clients)
        for rank in ranks_of(pool):
            row = tiers.get((pool.name, rank))
            if row is not None and 0 < self.table.get(row, cells.LOT_CELLS) < needed:
                del tiers[pool.name, rank]

    def _make_room(self, pool: PoolSpec, tiers: tuple[int, ...]) -> None:
        """Have all workers remember a pool's clients as one."""
        needed = cells_needed(pool.policy.clients)
        found = [self.lots.ensure(row, needed) for row in tiers]
        if not all(found):
            _log.warning(
                "pool %s: the table has no room to remember %d clients more: each worker remembers for itself",
                pool.name,
                pool.policy.clients,
            )

    def _of_pool(
        self,
        pool: PoolSpec,
        tiers: Mapping[tuple[str, Rank], int],
        backends: Mapping[tuple[str, str], int],
        given: list[int],
    ) -> PoolRows:
        """Rows of one pool; those that are new are added to `given`."""
        of_tiers = [tiers.get((pool.name, rank)) for rank in ranks_of(pool)]
        of_backends = [backends.get((pool.name, one.address)) for one in pool.backends]
        return PoolRows(
            tuple(self._take(given) if row is None else row for row in of_tiers),
            tuple(
                self._begin(one, given) if row is None else row
                for one, row in zip(pool.backends, of_backends, strict=True)
            ),
        )

    def _of_front(self, name: str, given: list[int]) -> int:
        """The row of a listener or of a limit."""
        row = self.rows.front.get(name)
        return self._take(given) if row is None else row

    def drop(self, plan: Rows) -> None:
        """A plan will not come into force: its new rows are free again."""
        held = set(self.rows.all())
        self.free.extend(row for row in plan.all() if row not in held)
        self._take_lots_back(plan, self.spec, self.rows)

    def raise_weights(self, spec: Spec, plan: Rows) -> None:
        """Set those weights that rise, before the workers switch; those that fall are set by `settle`, after it.

        So there is no moment in which one backend has its weight no more and the other has not got its own yet.
        """
        before = {(pool.name, one.address): one.weight for pool in self.spec.pools for one in pool.backends}
        for pool in spec.pools:
            rows = plan[pool.name]
            home = dict(zip(ranks_of(pool), rows.tiers, strict=True))
            for one, row in zip(pool.backends, rows.backends, strict=True):
                if one.weight > before.get((pool.name, one.address), one.weight):
                    self._weigh(one, row)
                    self.table.fetch_add(home[rank_of(one)], cells.GENERATION, 1)

    def doubt(self, plan: Rows, pool: str, at: int) -> None:
        """Before anybody looks at a backend that is new in this plan it is known that it is down."""
        machine = HealthMachine(1, 1)
        machine.condemned()
        self.table.set(plan[pool].backends[at], cells.STATUS, machine.code << cells.HEALTH_SHIFT | cells.SILENT)

    def settle(self, spec: Spec, plan: Rows) -> None:
        """A planned configuration comes into force: no worker looks at rows that are in it no more."""
        before = {
            (pool.name, one.address): (one, pool.health_check is not None)
            for pool in self.spec.pools
            for one in pool.backends
        }
        for pool in spec.pools:
            rows = plan[pool.name]
            home = dict(zip(ranks_of(pool), rows.tiers, strict=True))
            for one, row in zip(pool.backends, rows.backends, strict=True):
                was, was_checked = before.get((pool.name, one.address), (None, False))
                if was is None:
                    continue
                if self._change(one, row, was, forget=was_checked and pool.health_check is None):
                    self.table.fetch_add(home[rank_of(one)], cells.GENERATION, 1)
        held = set(plan.all())
        self.free.extend(row for row in self.rows.all() if row not in held)
        self._take_lots_back(self.rows, spec, plan)
        self.spec, self.rows = spec, plan

    def _take_lots_back(self, given: Rows, spec: Spec, rows: Rows) -> None:
        """Of the rows in `given` those keep their lot that have one in the other configuration."""
        kept = {row for pool in spec.pools if _remembers(pool) for row in rows[pool.name].tiers}
        kept.update(rows.front[name] for name, needed in lots_of_front(spec).items() if needed)
        for row in _may_have_lots(given):
            if row not in kept:
                self.lots.free(row)

    def write_weights(self) -> None:
        """Set every weight as it is configured: it is not known which were meant otherwise. Nor what was held against
        backends that nobody checks: they are believed in."""
        for pool in self.spec.pools:
            rows = self.rows[pool.name]
            home = dict(zip(ranks_of(pool), rows.tiers, strict=True))
            for one, row in zip(pool.backends, rows.backends, strict=True):
                self._weigh(one, row)
                if pool.health_check is None:
                    self.table.set(row, cells.STATUS, cells.UP)
                self.table.fetch_add(home[rank_of(one)], cells.GENERATION, 1)

    def _weigh(self, one: BackendSpec, row: int) -> None:
        self.table.set(row, cells.WEIGHT, one.weight)
        self.table.set(row, cells.SHARE, one.weight * cells.WEIGHT_UNIT)

    def _change(self, one: BackendSpec, row: int, was: BackendSpec, forget: bool) -> bool:
        """A backend stays; whether that is news. forget: nobody checks it any more: nothing is held against it."""
        if one.weight != was.weight:
            self._weigh(one, row)
        if forget:
            self.table.set(row, cells.STATUS, cells.UP)
        return forget or one.weight != was.weight

    def _begin(self, one: BackendSpec, given: list[int]) -> int:
        """A row for a backend that is new, with its weight in it."""
        row = self._take(given)
        self._weigh(one, row)
        return row

    def _take(self, given: list[int]) -> int:
        """A row that nobody uses, as empty as a new one."""
        for _ in range(len(self.free)):
            row = self.free.popleft()
            if self.table.total(row, cells.IN_FLIGHT) == 0:
                self.table.clear_row(row)
                given.append(row)
                return row
            self.free.append(row)
        if self.used == self.table.rows:
            message = f"the table's {self.table.rows - FIRST} rows are all in use, some by requests to removed backends"
            mend = "reload when those have ended, or give max_backends a larger number and upgrade"
            raise ConfigError([Problem("configuration", "max_backends", message, mend=mend)])
        row = self.used
        self.used += 1
        self.table.set(cells.BALANCER, cells.ROWS_USED, self.used)
        given.append(row)
        return row


def _remembers(pool: PoolSpec) -> bool:
    """Whether its policy, or one that a request may name, has a memory that all workers share (core/homes.py)."""
    return pool.approaches or STICKY in (pool.policy.name, pool.policy.fallback)


def _may_have_lots(rows: Rows) -> list[int]:
    return [*(row for of_pool in rows.values() for row in of_pool.tiers), *rows.front.values()]
