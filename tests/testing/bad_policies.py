"""Policies as people write them, each with one mistake; the good ones first."""

import itertools
from collections.abc import Sequence
from typing import Any

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy
from steelyard.core.stable import mix, unit


def by_chance(request: Pick, backends: list[Backend]) -> Backend:
    """Right: by weight, by chance."""
    point = request.below(sum(backend.share() for backend in backends))
    for backend in backends:
        point -= backend.share()
        if point < 0:
            return backend
    raise AssertionError("the weights do not add up")


def by_key(request: Pick, backends: list[Backend]) -> Backend:
    """Right: the key's backend, few keys move (rendezvous without weights)."""
    key = request.key or mix(request.below(1 << 62), 1)
    return max(backends, key=lambda backend: mix(key, backend.key))


class TwoDraws(Policy):
    """Right: the less loaded of two, by weight; ties to fewer requests."""

    def pick(self, request: Pick) -> Backend | None:
        found = self.candidates(request)
        if not found:
            return None
        return min(self.draw(request, found), key=lambda b: (b.in_flight / b.share(), b.requests / b.share()))

    def draw(self, request: Pick, found: list[Backend]) -> list[Backend]:
        first = request.below(len(found))
        if len(found) == 1:
            return found
        second = request.below(len(found) - 1)
        return [found[first], found[second + (second >= first)]]


class Rotates(Policy):
    """Right but for weights: one after the other."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.turn = 0

    def pick(self, request: Pick) -> Backend | None:
        found = self.candidates(request)
        self.turn += 1
        return found[self.turn % len(found)] if found else None


class SecondDrawWithoutAHole(TwoDraws):
    """The second of two may be the first again, and the last is never second."""

    def draw(self, request: Pick, found: list[Backend]) -> list[Backend]:
        return [found[request.below(len(found))], found[request.below(max(1, len(found) - 1))]]


class SecondDrawOfAll(TwoDraws):
    """The second of two may be the first again."""

    def draw(self, request: Pick, found: list[Backend]) -> list[Backend]:
        return [found[request.below(len(found))], found[request.below(len(found))]]


class OneDraw(TwoDraws):
    """No second draw: the load is looked at, and counts for nothing."""

    def draw(self, request: Pick, found: list[Backend]) -> list[Backend]:
        return [found[request.below(len(found))]]


class OwnLoadAlone(TwoDraws):
    """What other workers have sent is not seen."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.mine: dict[Backend, int] = {}

    def pick(self, request: Pick) -> Backend | None:
        found = self.candidates(request)
        return min(found, key=lambda b: (self.mine.get(b, 0) / b.share(), b.requests / b.share()), default=None)

    def began(self, request: Pick, backend: Backend) -> None:
        self.mine[backend] = self.mine.get(backend, 0) + 1

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        self.mine[backend] -= 1


class FailuresStayInFlight(OwnLoadAlone):
    """The path that one forgets."""

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        if not failed:
            super().ended(request, backend, failed, latency_s, now)


class FastestSoFar(Rotates):
    """One slow answer, and it is never asked again."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.latest: dict[Backend, float] = {}

    def pick(self, request: Pick) -> Backend | None:
        found = self.candidates(request)
        self.turn += 1
        best = min((self.latest.get(backend, 0.0) for backend in found), default=0.0)
        fast = [backend for backend in found if self.latest.get(backend, 0.0) <= best + 0.1]
        return fast[self.turn % len(fast)] if fast else None

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        self.latest[backend] = latency_s


def always_first(request: Pick, backends: list[Backend]) -> Backend:
    return backends[0]


class OneRuleIgnored(Policy):
    """By chance, but for one rule that others keep."""

    def allowed(self, request: Pick, backend: Backend) -> bool:
        raise NotImplementedError

    def pick(self, request: Pick) -> Backend | None:
        found = [backend for backend in self.backends if self.allowed(request, backend)]
        return found[request.below(len(found))] if found else None


class TriedAgain(OneRuleIgnored):
    def allowed(self, request: Pick, backend: Backend) -> bool:
        return backend.available


class Draining(OneRuleIgnored):
    def allowed(self, request: Pick, backend: Backend) -> bool:
        return backend.healthy and backend.share() > 0 and not backend.full and not request.has_tried(backend)


class Down(OneRuleIgnored):
    def allowed(self, request: Pick, backend: Backend) -> bool:
        return backend.is_member() and not backend.full and not request.has_tried(backend)


class Full(OneRuleIgnored):
    def allowed(self, request: Pick, backend: Backend) -> bool:
        return backend.takes_requests(request.panic) and not request.has_tried(backend)


class WeightZero(OneRuleIgnored):
    def allowed(self, request: Pick, backend: Backend) -> bool:
        return backend.healthy and not (backend.draining or backend.full or request.has_tried(backend))


class FewDraws(Policy):
    """Gives up when three draws were of backends that cannot be taken."""

    def pick(self, request: Pick) -> Backend | None:
        for _ in range(3 if self.backends else 0):
            backend = self.backends[request.below(len(self.backends))]
            if request.may_take(backend):
                return backend
        return None


class NobodyThere(Policy):
    """Has not thought of an empty pool."""

    def pick(self, request: Pick) -> Backend | None:
        return self.candidates(request)[request.below(len(self.candidates(request)))]


class CountsTwice(Rotates):
    """Counts what the pool has counted."""

    def began(self, request: Pick, backend: Backend) -> None:
        backend.begin()


class RemembersRequests(Rotates):
    """Keeps what it was asked."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[Pick] = []

    def pick(self, request: Pick) -> Backend | None:
        self.seen.append(request)
        return super().pick(request)


class OneBackendARequest(Rotates):
    """Forgets that a request may be at two."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.at: dict[Pick, Backend] = {}

    def began(self, request: Pick, backend: Backend) -> None:
        self.at[request] = backend

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        del self.at[request]


class FirstMembers(Rotates):
    """Listens only once to who exists."""

    def rebuild(self, backends: Sequence[Backend]) -> None:
        if not self.backends:
            super().rebuild(backends)


class FirstWeights(Policy):
    """Looks at weights only once."""

    def rebuild(self, backends: Sequence[Backend]) -> None:
        if not self.backends:
            self.weights = {backend: backend.share() for backend in backends}
        super().rebuild(backends)

    def pick(self, request: Pick) -> Backend | None:
        found = self.candidates(request)
        if not found:
            return None
        return max(found, key=lambda b: unit(mix(request.below(1 << 62), b.key)) ** (1000 / self.weights[b]))


_counter = itertools.count()


def own_chance(request: Pick, backends: list[Backend]) -> Backend:
    """Draws from somewhere else."""
    return backends[mix(next(_counter), 3) % len(backends)]


def at_times(request: Pick, backends: list[Backend]) -> Backend | None:
    """Abstains from one in two."""
    return backends[request.below(len(backends))] if request.below(2) else None


def modulo(request: Pick, backends: list[Backend]) -> Backend:
    """Nearly all keys move when one goes."""
    return backends[(request.key or request.below(1 << 62)) % len(backends)]


def keyless_to_one(request: Pick, backends: list[Backend]) -> Backend:
    """Requests without a key are one key too."""
    return max(backends, key=lambda backend: mix(request.key, backend.key))


class OwnSeed(Policy):
    """Each worker has a hash of its own."""

    def pick(self, request: Pick) -> Backend | None:
        key = mix(request.key or request.below(1 << 62), self.table.worker)
        return max(self.candidates(request), key=lambda backend: mix(key, backend.key), default=None)


class MovesForGood(Policy):
    """A key stays where it was last, also where that was only for a try."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.homes: dict[int, Backend] = {}

    def pick(self, request: Pick) -> Backend | None:
        home = self.homes.get(request.key)
        if home is None or not request.may_take(home):
            home = max(self.candidates(request), key=lambda b: mix(request.key, b.key), default=None)
        if home is not None and request.key:
            self.homes[request.key] = home
        return home


class EachWorkerItsOwn(Policy):
    """One backend a worker."""

    def pick(self, request: Pick) -> Backend | None:
        found = self.candidates(request)
        if self.table.workers == 1:
            return found[request.below(len(found))] if found else None
        return found[self.table.worker % len(found)] if found else None
