"""What a choice costs: CPU time of one pick of every policy, by the number of backends, and of making it ready.

All the while requests begin and end, so that in-flight counts change and what a policy keeps of them must follow:
that is part of the figure, as are its `began` and `ended`. The loop itself is measured with a policy that has been
told the same answers beforehand, and subtracted: what it costs to reach far backends' numbers to count a request is no
part of choosing. Keys are new ones for each pick, and the randomness is the proxy's own. A rebuild is measured with the
first pick after it, since some policies put their work off until then.

A figure is the least of several rounds: what others do on the machine only ever adds.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import steelyard.core.policies  # noqa: F401 (registers them)
from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, create, names, registered
from steelyard.core.spec import BackendSpec, PolicySpec
from steelyard.core.table import IN_FLIGHT, Table

# Backends -> the most that a pick may take, in µs.
GOALS_US = {10: 1.0, 10_000: 2.0, 100_000: 4.0}
REBUILT = 10_000
REBUILD_GOALS_MS = {"maglev": 500.0}
REBUILD_GOAL_MS = 100.0
ROUNDS = 5
PICKS = 40_000
# Between two looks at the clock: fewer than what a pool of probe answers is good for.
CHUNK = 16
# In flight, a backend; where there are many backends, no more than this in all.
LOAD = 2
MOST_IN_FLIGHT = 20_000
LIMIT = 4  # of policies that fill one backend after the other
LATENCY_S = 0.01


@dataclass(frozen=True, slots=True)
class PickCost:
    """pick_us: CPU time of one pick. rebuild_ms: of a rebuild, for REBUILT backends, else None."""

    policy: str
    backends: int
    pick_us: float
    rebuild_ms: float | None

    @property
    def met(self) -> bool:
        """Whether a pick is cheap enough, and a rebuild where it is judged."""
        if self.rebuild_ms is not None and self.rebuild_ms > rebuild_goal_ms(self.policy):
            return False
        return self.pick_us <= GOALS_US[self.backends]


def rebuild_goal_ms(policy: str) -> float:
    return REBUILD_GOALS_MS.get(policy, REBUILD_GOAL_MS)


def measure(rounds: int = ROUNDS, picks: int = PICKS) -> Iterator[PickCost]:
    """Measure every built-in policy, one figure after the other."""
    for name in names():
        if registered(name).ours:
            for size in GOALS_US:
                yield measure_one(name, size, rounds, picks)


def count() -> int:
    """How many figures `measure` gives."""
    return len(GOALS_US) * sum(registered(name).ours for name in names())


def measure_one(name: str, size: int, rounds: int, picks: int) -> PickCost:
    """One policy with so many backends."""
    policy, backends = _made(name, size)
    rebuild_ms = min(_rebuild_ms(policy, backends) for _ in range(rounds)) if size == REBUILT else None
    policy.rebuild(backends)
    busy = _Loop(policy, backends, None)
    pick_us = min(busy.run(picks) for _ in range(rounds))
    knowing, others = _made("round_robin", size)
    place = {backend: index for index, backend in enumerate(backends)}
    answers = [others[place[backend]] for backend in busy.picked]
    idle = _Loop(Policy(PolicySpec(), knowing.table, knowing.row), others, cycle(answers).__next__)
    floor_us = min(idle.run(picks) for _ in range(rounds))
    return PickCost(name, size, max(0.0, pick_us - floor_us), rebuild_ms)


def _made(name: str, size: int) -> tuple[Policy, Sequence[Backend]]:
    """A policy over equal backends, ready to pick."""
    table = Table(bytearray(Table.size_bytes(size + 1, 1)), size + 1)
    limit = LIMIT if name == "first" else None
    specs = [BackendSpec(f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}", 80, 1, limit) for index in range(size)]
    backends = [Backend(spec, table, row, 0) for row, spec in enumerate(specs, 1)]
    key = "client_ip" if "key" in registered(name).options else None
    policy = create(PolicySpec(name, key), table, 0)
    policy.rebuild(backends)
    return policy, backends


def _rebuild_ms(policy: Policy, backends: Sequence[Backend]) -> float:
    draw = random.Random(1).random
    request = Pick(lambda n: int(draw() * n), key=1)
    before = time.process_time_ns()
    policy.rebuild(backends)
    policy.pick(request)
    return (time.process_time_ns() - before) / 1e6


class _Loop:
    """Requests that begin and end, with one in for one out.

    known: gives the answer in place of the policy. picked: all answers so far.
    """

    def __init__(self, policy: Policy, backends: Sequence[Backend], known: Callable[[], Backend] | None) -> None:
        draw = random.Random(2).random
        self.policy = policy
        self.known = known
        self.request = Pick(lambda n: int(draw() * n))
        hashes = random.Random(3)
        self.keys = cycle([hashes.getrandbits(64) | 1 for _ in range(PICKS)]).__next__
        self.now = 0.0
        self.picked: list[Backend] = []
        self.flying: deque[Backend] = deque()
        for _ in range(min(LOAD * len(backends), MOST_IN_FLIGHT) // CHUNK + 1):
            self.chunk(end=False)

    def run(self, picks: int) -> float:
        """CPU time of a pick and all around it, in µs."""
        spent = 0
        for _ in range(picks // CHUNK):
            self.hear()
            before = time.process_time_ns()
            self.chunk(end=True)
            spent += time.process_time_ns() - before
        return spent / (picks // CHUNK * CHUNK) / 1000

    def hear(self) -> None:
        """Answer the probes that a policy wants, which is the proxy's work and not a pick's."""
        targets = getattr(self.policy, "targets", None)
        for backend in targets() if targets is not None else ():
            self.policy.heard(backend, backend.in_flight, LATENCY_S, self.now)  # type: ignore[attr-defined]

    def chunk(self, end: bool) -> None:
        """CHUNK requests begin; as many end."""
        policy, request, flying, keys = self.policy, self.request, self.flying, self.keys
        pick, known, picked = policy.pick, self.known, self.picked
        for _ in range(CHUNK):
            self.now += 1e-5
            request.now = self.now
            request.key = keys()
            backend = pick(request) if known is None else known()
            assert backend is not None
            backend.begin()
            policy.table.add_mine(policy.row, IN_FLIGHT, 1)
            policy.began(request, backend)
            flying.append(backend)
            picked.append(backend)
            if end:
                done = flying.popleft()
                done.finish(False)
                policy.table.add_mine(policy.row, IN_FLIGHT, -1)
                policy.ended(request, done, False, LATENCY_S, self.now)
