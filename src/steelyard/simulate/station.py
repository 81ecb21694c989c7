"""A simulated backend, and the requests that visit it: first come, first served, by so many servers at a time.

Queueing is at the backend, as in the supermarket model: the balancer sends at once.
A failing one answers with an error, at once or after the work; one that is down refuses connections and loses what it
had. Nothing here knows of the balancer: what a visit's end means is the engine's business.
"""

from array import array
from collections.abc import Callable
from typing import Final

from steelyard.core.policy import Pick
from steelyard.core.stable import mix, unit
from steelyard.simulate.scenario import Server, Trouble
from steelyard.simulate.workload import Workload

# What a backend says of its latency, when it is probed, is what a request took of late that met as many others as are
# there now (Prequal, NSDI 2024): the plain average would tell of a queue that is long gone.
NEWS: Final = 0.1  # what one answer adds to the average of its like
CROWD: Final = 63  # from so many others on, one average serves for all
UNHEARD: Final = -1.0

# How a try will end, as soon as it arrives; station.pxd makes them C integers.
WELL: Final = 0
AT_ONCE: Final = 1
AFTER_SERVICE: Final = 2
REFUSED: Final = 3


class Visit(Pick):
    """One request from its arrival to its end, with all its tries.

    arrived, asked_at: when it came, and when its present try began. service: its work. counted: it is in the figures.
    following: behind it in the queue of a backend. failing: the present try's answer will be a failure.
    ahead: how many were at the backend before it.
    """

    def __init__(self, workload: Workload, below: Callable[[int], int], now_s: float, counted: bool) -> None:
        self.below = below
        self.now = now_s
        self.tried = None
        self.panic = False
        self.trials = None
        self.whole = True
        self.workload = workload
        self.arrived = workload.at
        self.asked_at = workload.at
        self.service = workload.service
        self.luck = workload.luck
        self.source = workload.key
        self.worker = workload.worker
        self.key = workload.hashes[workload.key]
        self.tries = 0
        self.counted = counted
        self.failing = False
        self.ahead = 0
        self.following: Visit | None = None

    def get(self, name: str) -> str | None:
        """A part of the request, as the workload knows it."""
        return self.workload.text(name, self.source)


class Station:
    """One backend. here: requests that are served or wait. longest: most of them at a time. tries: counted ones sent.

    took: decaying averages of its answers' times, by how many were there before.
    """

    def __init__(self, server: Server, troubles: list[Trouble]) -> None:
        self.speed = server.speed
        self.servers = server.concurrency
        self.troubles = troubles
        self.busy = 0
        self.here = 0
        self.longest = 0
        self.tries = 0
        self.took = array("d", [UNHEARD]) * (CROWD + 1)
        self.head: Visit | None = None
        self.tail: Visit | None = None
        self.up = True
        self.faulty = False
        self.slowness = 1.0
        self.fast_fail = 0.0
        self.fail = 0.0
        self.change(0.0)

    def change(self, now: float) -> bool:
        """Take on the troubles of this time; True when that took it down."""
        was_up = self.up
        self.up = True
        self.slowness, self.fast_fail, self.fail = 1.0, 0.0, 0.0
        for trouble in self.troubles:
            if trouble.start <= now < trouble.end:
                if trouble.kind == "slow":
                    self.slowness *= trouble.value
                elif trouble.kind == "fail":
                    self.fail = max(self.fail, trouble.value)
                elif trouble.kind == "fast_fail":
                    self.fast_fail = max(self.fast_fail, trouble.value)
                else:
                    self.up = False
        self.faulty = not self.up or self.fail > 0.0 or self.fast_fail > 0.0
        return was_up and not self.up

    def fate(self, visit: Visit) -> int:
        """How this try will end: the luck is the request's own, and anew with each try."""
        if not self.faulty:
            return WELL
        if not self.up:
            return REFUSED
        luck = unit(mix(visit.luck, visit.tries))
        if luck < self.fast_fail:
            return AT_ONCE
        return AFTER_SERVICE if luck < self.fast_fail + self.fail else WELL

    def check(self, luck: int) -> int:
        """How a health check ends, of which the answer is one like any other."""
        if not self.up:
            return REFUSED
        return AFTER_SERVICE if unit(luck) < self.fast_fail + self.fail else WELL

    def enter(self, visit: Visit) -> bool:
        """A request arrives: True when it is served at once, else it waits."""
        visit.ahead = self.here
        self.here += 1
        if self.here > self.longest:
            self.longest = self.here
        if self.busy < self.servers:
            self.busy += 1
            return True
        if self.tail is None:
            self.head = visit
        else:
            self.tail.following = visit
        self.tail = visit
        return False

    def leave(self) -> Visit | None:
        """A served one goes; the next one, if one waits, is served from now on."""
        self.here -= 1
        found = self.head
        if found is None:
            self.busy -= 1
            return None
        self.head = found.following
        found.following = None
        if self.head is None:
            self.tail = None
        return found

    def empty(self) -> list[Visit]:
        """All are lost: those that waited, in their order; the engine knows who was being served."""
        waiting = []
        visit = self.head
        while visit is not None:
            waiting.append(visit)
            following = visit.following
            visit.following = None
            visit = following
        self.head = self.tail = None
        self.here = self.busy = 0
        return waiting

    def work_time(self, visit: Visit) -> float:
        """How long it will be served, beginning now."""
        return visit.service * self.slowness / self.speed

    def learn(self, visit: Visit, latency: float) -> int:
        """An answer took so long. Returns 0."""
        at = min(visit.ahead, CROWD)
        if self.took[at] == UNHEARD:
            self.took[at] = latency
        else:
            self.took[at] += NEWS * (latency - self.took[at])
        return 0

    def latency(self) -> float:
        """What it would say of itself: what requests took that met about as many as are here; 0.0 before the first."""
        at = min(self.here, CROWD)
        for away in range(CROWD + 1):
            for near in (at - away, at + away):
                if 0 <= near <= CROWD and self.took[near] != UNHEARD:
                    return self.took[near]
        return 0.0
