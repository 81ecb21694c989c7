"""Servers that answer after a while, in turn, and requests that come by chance: for policies that learn from answers.

A discrete simulation with a clock of its own: nothing here sleeps.
"""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

from steelyard.core.backend import Backend
from steelyard.core.policy import UNKNOWN_S, Pick, Policy
from steelyard.core.table import IN_FLIGHT

# (which backend, when it is its turn, randomness) -> how long it works at the request, and whether it fails.
Serve = Callable[[int, float, Random], tuple[float, bool]]
MEAN_S: Final = 0.010


def quick(index: int, now: float, chance: Random) -> tuple[float, bool]:
    """10 ms on average, exponential, and never a failure."""
    return chance.expovariate(1 / MEAN_S), False


class Scene:
    """A policy at work. picked: (when, whom) of every request. Time goes on from one `run` to the next."""

    def __init__(self, policy: Policy, backends: Sequence[Backend], rate: float, seed: int = 1) -> None:
        self.policy: Any = policy
        self.backends = backends
        self.rate = rate
        self.chance = Random(seed)
        self.now = 0.0
        self.free_at = [0.0] * len(backends)
        self.ends: list[tuple[float, int, Pick, Backend, bool, float]] = []
        self.picked: list[tuple[float, int]] = []
        self.waited: list[float] = []

    def run(self, seconds: float, serve: Serve = quick) -> None:
        """Let requests come for so long."""
        until = self.now + seconds
        while True:
            self.now += self.chance.expovariate(self.rate)
            if self.now >= until:
                self.now = until
                return
            self.end_what_is_over()
            self.begin(serve)

    def begin(self, serve: Serve) -> None:
        request = Pick(self.chance.randrange, now=self.now)
        backend = self.policy.pick(request)
        assert backend is not None
        index = self.backends.index(backend)
        self.picked.append((self.now, index))
        backend.begin()
        self.policy.table.add_mine(0, IN_FLIGHT, 1)
        self.policy.began(request, backend)
        if hasattr(self.policy, "targets"):
            for target in self.policy.targets():
                self.policy.heard(target, -1, UNKNOWN_S, self.now)
        starts = max(self.now, self.free_at[index])
        takes, failed = serve(index, starts, self.chance)
        self.free_at[index] = starts + takes
        self.waited.append(starts + takes - self.now)
        heappush(self.ends, (starts + takes, len(self.picked), request, backend, failed, starts + takes - self.now))

    def end_what_is_over(self) -> None:
        while self.ends and self.ends[0][0] <= self.now:
            at, _, request, backend, failed, latency_s = heappop(self.ends)
            backend.finish(failed)
            self.policy.table.add_mine(0, IN_FLIGHT, -1)
            self.policy.ended(request, backend, failed, latency_s, at)

    def share(self, index: int, since: float = 0.0) -> float:
        """What part of the requests since then a backend got."""
        whose = [one for at, one in self.picked if at >= since]
        return whose.count(index) / len(whose)
