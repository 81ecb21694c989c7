"""Which recent requests would go elsewhere under another configuration, and why.

Where a request is known to go (by its route, its cookie or the hash of its key) the two configurations are compared
with each other, and not with what served it then: that may have been another backend because one was down. Where it
went by turn or by load, it is where it went; it counts only when it cannot go there again, or need not be known any
more because a cookie or a key decides now.

So little as possible is asked of a request: what does not decide anything between these two configurations is
private, and not in `parts_needed`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from steelyard.control.destinations import By, Choice, Destinations, parts_of_choice
from steelyard.core.spec import PoolSpec, Spec

GROUPS: Final = 20  # of a summary: about a screen
NOWHERE: Final = "nowhere"


class Seen(NamedTuple):
    """A request that was served. pool, backend: as in the access log, `-` where there was none.

    parts: those of `parts_needed`, by the names of `Request.get` (proxy/request.py); None, or left out, where the
    request has it not.
    """

    listener: str
    pool: str
    backend: str
    parts: Mapping[str, str | None]


class Move(NamedTuple):
    """A request that would go elsewhere.

    before, after: `POOL/HOST:PORT`, `any of POOL`, `answer STATUS`, the status of a refusal, or `nowhere`.
    """

    before: str
    after: str
    why: str


def parts_needed(old: Spec, new: Spec) -> list[str]:
    """The parts of a request that decide whether it moves, and from where to where; sorted."""
    pair = _Pair(old, new)
    names: set[str] = set()
    for listener in pair.in_both:
        rerouted = listener in pair.rerouted
        for side in (pair.old, pair.new):
            if rerouted:
                names |= side.parts_of_routes(listener)
            for pool in side.pools_of(listener):
                if rerouted or pool in pair.altered:
                    names |= parts_of_choice(side.pools[pool])
    return sorted(names)


def moves(old: Spec, new: Spec, seen: Iterable[Seen]) -> list[Move]:
    """One for each request that would go elsewhere, in their order.

    What went to a listener or a pool that `old` does not know (it is of an older configuration still) does not count.
    Both must be right by themselves (control/config.py); their policies need not be loaded. Never raises.
    """
    pair = _Pair(old, new)
    return [move for request in seen if (move := pair.move(request)) is not None]


def summary(moves: Sequence[Move], total: int) -> list[str]:
    """Lines for people: how many of `total` requests would go elsewhere, then how many from where to where and why."""
    if not total:
        return ["no recent request to compare"]
    lines = [f"{len(moves)} of {total} recent requests would go elsewhere"]
    groups = sorted(Counter(moves).items(), key=lambda group: (-group[1], group[0]))
    width = len(str(groups[0][1])) if groups else 0
    for move, count in groups[:GROUPS]:
        lines.append(f"  {count:>{width}}  {move.before} -> {move.after}: {move.why}")
    rest = groups[GROUPS:]
    if rest:
        lines.append(f"  and {sum(count for _, count in rest)} more, of {len(rest)} other kinds")
    return lines


class _Pair:
    """Two configurations. in_both: the listeners that both have, in the old order; rerouted: those with other routes.

    altered: pools that both have, and that would not choose alike.
    """

    def __init__(self, old: Spec, new: Spec) -> None:
        self.old = Destinations(old)
        self.new = Destinations(new)
        listeners = self.new.listeners
        self.in_both = [name for name in self.old.listeners if name in listeners]
        self.rerouted = {name for name in self.in_both if self.old.listeners[name].routes != listeners[name].routes}
        pools = self.new.pools
        self.altered = {
            name for name, pool in self.old.pools.items() if name in pools and not _choose_alike(pool, pools[name])
        }

    def move(self, seen: Seen) -> Move | None:
        """The request's move; None when it stays, or nothing is known of it."""
        if seen.listener not in self.old.listeners:
            return None
        if seen.listener not in self.new.listeners:
            return Move(self.served(seen), NOWHERE, "listener is gone")
        if seen.listener not in self.rerouted:
            # The same routes lead to the same pool: which one, it has told itself.
            return self.within(seen.pool, seen) if seen.pool in self.old.pools_of(seen.listener) else None
        was = self.old.place(seen.listener, seen.parts)
        now = self.new.place(seen.listener, seen.parts)
        if was == now:
            return None if was.pool is None else self.within(was.pool, seen)
        before = was.answer if was.pool is None else _named(was.pool, self.origin(was.pool, seen).backend)
        after = now.answer if now.pool is None else _named(now.pool, self.new.pool(now.pool).choose(seen.parts).backend)
        gone = was.pool is not None and was.pool not in self.new.pools
        return Move(before, after, "pool is gone" if gone else "route changed")

    def within(self, pool: str, seen: Seen) -> Move | None:
        """The move of a request that stays in its pool."""
        if pool not in self.altered:
            return None
        was, now = self.origin(pool, seen), self.new.pool(pool).choose(seen.parts)
        if was.backend is None or was.backend == now.backend:
            return None
        why = self.lost(pool, was.backend)
        if why is None:
            if was.by is now.by is By.TURN:
                return None
            why = _why(was.by, now.by, self.old.pools[pool].policy == self.new.pools[pool].policy)
        return Move(_named(pool, was.backend), _named(pool, now.backend), why)

    def origin(self, pool: str, seen: Seen) -> Choice:
        """What the old pool is known to choose, else by TURN what served the request there, if that is known."""
        there = self.old.pool(pool)
        chosen = there.choose(seen.parts)
        if chosen.by is By.TURN and seen.pool == pool and seen.backend in there.backends:
            return Choice(By.TURN, seen.backend)
        return chosen

    def served(self, seen: Seen) -> str:
        """Where it went, by its own account."""
        if seen.pool not in self.old.pools:
            return "no pool"
        return _named(seen.pool, seen.backend if seen.backend in self.old.pool(seen.pool).backends else None)

    def lost(self, pool: str, address: str) -> str | None:
        """Why the backend of the old pool takes no such request in the new one; None when it does, or never did."""
        old, new = self.old.pool(pool), self.new.pool(pool)
        backend = new.backends.get(address)
        if backend is None:
            return "backend is gone"
        if backend.weight == 0 and old.backends[address].weight > 0:
            return "backend has weight 0 now"
        if old.serves(address) and not new.serves(address):
            return "backend waits behind another tier now"
        return None


def _choose_alike(old: PoolSpec, new: PoolSpec) -> bool:
    return (old.backends, old.policy, old.sticky) == (new.backends, new.policy, new.sticky)


def _named(pool: str, backend: str | None) -> str:
    return f"any of {pool}" if backend is None else f"{pool}/{backend}"


def _why(was: By, now: By, same_policy: bool) -> str:
    """Why a request is chosen for differently, while the backend that it went to is still there."""
    if now is By.COOKIE:
        return "cookie names another backend"
    if was is By.COOKIE:
        return "cookie names no backend now"
    if now is By.TURN:
        return "key no longer decides"
    if was is By.TURN:
        return "key decides now"
    return "key hashes to another backend" if same_policy else "policy changed"
