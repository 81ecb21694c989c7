"""One run: a virtual clock, what is to come, and the very pools of the data plane.

    arrival -> acquire -> at the backend, in service or in its queue -> answer -> release
                  ^                                                       |
                  +---------------- may_retry? ---------- failed <--------+

Every try makes the calls of proxy/exchange.py in their order: `acquire`; `answered` with an answer's head;
`connect_failed`; `has_other`, `bears_retry` and `acquire` before the old backend's `release`. Requests are GETs
without a body, so each may be tried again. Health checks go to every worker's pool, as each worker makes its own.
An arrival of the same instant as another event comes after it.
A policy that has `targets` and `heard` (prequal) is asked after each `acquire` whom to probe; the answer is the
backend's own truth, a little later (station.py).
"""

from math import inf
from typing import Any, Final

from steelyard.core.backend import Backend
from steelyard.core.guard import Outside, parts
from steelyard.core.policies.prequal import UNKNOWN
from steelyard.core.policy import UNKNOWN_S, Policy
from steelyard.core.pool import Pool
from steelyard.core.retry import may_retry
from steelyard.core.spec import HealthCheckSpec, PolicySpec
from steelyard.errors import CLOSED_EARLY, CONNECT_FAILED, STATUS, Kind, Phase
from steelyard.simulate.agenda import Agenda
from steelyard.simulate.chance import Chance
from steelyard.simulate.latencies import Latencies
from steelyard.simulate.scenario import FAILED_STATUS, Scenario, make_pools
from steelyard.simulate.station import Station, Visit
from steelyard.simulate.workload import CHECKS, POLICY, Workload

SAMPLES: Final = 400  # looks at all queues, for the picture: as many as it has room for

CHECK_JITTER: Final = HealthCheckSpec().jitter

# Kinds of events, and what an event is: kind + KINDS x who. engine.pxd makes these C integers.
KINDS: Final = 4
DONE: Final = 0  # who: a slot of `served`
PROBED: Final = 1  # who: index of a backend + how many of them x worker
CHECKED: Final = 2  # who: index of a backend
CHANGED: Final = 3  # who: index of a backend, of which a trouble begins or ends
WELL_STATUS: Final = 200
NO_STATUS: Final = 0
# As station.py has them.
WELL: Final = 0
AT_ONCE: Final = 1
AFTER_SERVICE: Final = 2
REFUSED: Final = 3


class Engine:
    """A run of one policy through a scenario.

    now: the virtual clock. Of the requests that count: latencies (of those that were served well), failed (answered
    with an error, or lost), refused (nobody could be picked), retries. ejections: how often a backend was taken out.
    area: the time integral of requests in the system, from measured_from to measured_to. samples: (time, longest
    queue, mean queue). done: requests that have come to their end.
    """

    def __init__(self, scenario: Scenario, policy: PolicySpec, outside: Outside) -> None:
        self.scenario = scenario
        self.pools = make_pools(scenario, policy, outside)
        self.probers = [_prober(pool.policy) for pool in self.pools]
        self.probes_travel = policy.probe.path is not None
        self.probes_late = scenario.probe_delay * scenario.service_s > policy.probe.timeout_s
        self.probing = self.probers != [None] * len(self.probers)
        self.keyed = self.pools[0].key is not None
        self.base = self.pools[0].backends[0].row
        self.size = len(scenario.servers)
        self.service_s = scenario.service_s
        self.probe_delay = scenario.probe_delay
        self.max_tries = scenario.tries
        self.retry_failures = scenario.retry_failures
        self.workload = Workload(scenario)
        self.of_policy = Chance(scenario.seed, POLICY)
        self.below = self.of_policy.below  # through an attribute that is an object to C: so it is a bound method
        self.of_checks = Chance(scenario.seed, CHECKS)
        self.agenda = Agenda()
        self.stations = [
            Station(server, [trouble for trouble in scenario.troubles if index in trouble.servers])
            for index, server in enumerate(scenario.servers)
        ]
        self.served: list[Visit | None] = []
        self.places: list[int] = []  # the station of each slot of `served`
        self.free: list[int] = []
        self.coming = True
        self.now = 0.0
        self.inside = 0
        self.done = 0
        self.arrived = 0
        self.warmup = int(scenario.requests * scenario.warmup)
        self.measuring = False
        self.measured_from = self.measured_to = self.area = 0.0
        self.latencies = Latencies()
        self.failed = self.refused = self.retries = self.ejections = 0
        self.samples: list[tuple[float, int, float]] = []
        self.sample_every = max(scenario.requests * self.workload.gap / SAMPLES, 1e-9)
        self.next_sample = 0.0
        for pool in self.pools:
            pool.tell = self.hear
        self.plan()

    def hear(self, backend: Backend | None, what: str) -> None:
        """A pool tells what the traffic has done to a backend."""
        self.ejections += what.startswith("ejected")

    def plan(self) -> None:
        """Note what is known to come: troubles and checks. Checks that could find nothing are not made."""
        for trouble in self.scenario.troubles:
            for index in trouble.servers:
                for time in (trouble.start, trouble.end):
                    if 0.0 < time < inf:
                        self.agenda.note(time, CHANGED + KINDS * index)
        kinds = {trouble.kind for trouble in self.scenario.troubles}
        if self.scenario.checks > 0.0 and kinds - {"slow"}:
            for index in range(self.size):
                self.agenda.note(self.of_checks.unit() * self.scenario.checks, CHECKED + KINDS * index)

    def run(self, steps: int) -> bool:
        """Go on by so many steps, of which each is an arrival or an event; False when all have come to their end."""
        agenda, workload = self.agenda, self.workload
        left = steps
        while self.coming or self.inside > 0:
            if left == 0:
                return True
            left -= 1
            if self.coming and (agenda.count == 0 or workload.at < agenda.first()):
                self.go_to(workload.at)
                self.arrive()
            else:
                what = agenda.take()
                self.go_to(agenda.time)
                self.happen(what % KINDS, what // KINDS)
        return False

    def go_to(self, now: float) -> int:
        """Turn the clock. Returns 0."""
        if now >= self.next_sample:
            self.sample(now)
        if self.measuring:
            self.area += self.inside * (now - self.now)
        self.now = now
        return 0

    def sample(self, now: float) -> None:
        """Look at all queues, unless there are as many looks as the picture has room for."""
        longest = total = 0
        for station in self.stations:
            total += station.here
            longest = max(longest, station.here)
        missed = (now - self.next_sample) / self.sample_every  # may be thousands of millions: no loop over them
        self.next_sample += self.sample_every * (missed - missed % 1.0 + 1.0)
        self.samples.append((now, longest, total / self.size))
        if len(self.samples) >= 4 * SAMPLES:  # the backlog after the last arrival takes longer than all before
            self.next_sample = inf

    def happen(self, kind: int, who: int) -> int:
        """An event. Returns 0."""
        if kind == DONE:
            self.end_service(who)
        elif kind == PROBED:
            self.answer_probe(who % self.size, who // self.size)
        elif kind == CHECKED:
            self.check(who)
        else:
            station = self.stations[who]
            if station.change(self.now):
                self.lose_all(station, who)
        return 0

    # The traffic.

    def arrive(self) -> int:
        """The next request comes in. Returns 0."""
        workload = self.workload
        counted = self.arrived >= self.warmup
        if counted and not self.measuring:
            self.measuring = True
            self.measured_from = self.now
            for station in self.stations:
                station.longest = station.here
        self.arrived += 1
        self.inside += 1
        visit = Visit(workload, self.below, self.now * self.service_s, counted)
        pool = self.pools[visit.worker]
        chosen = pool.acquire(visit)
        if self.keyed:
            workload.hashes[visit.source] = visit.key
        self.coming = workload.draw()
        if self.probing:
            self.ask(visit.worker)
        if isinstance(chosen, Backend):
            self.send(visit, pool, chosen)
        else:
            if counted:
                self.refused += 1
            self.finish()
        return 0

    def send(self, visit: Visit, pool: Pool, backend: Backend) -> int:
        """A try begins at an acquired backend. Returns 0."""
        index = backend.row - self.base
        station = self.stations[index]
        visit.tries += 1
        if visit.counted:
            station.tries += 1
            if visit.tries > 1:
                self.retries += 1
        fate = station.fate(visit)
        if fate == REFUSED:
            return self.fail(visit, pool, backend, CONNECT_FAILED)
        visit.failing = fate != WELL
        if fate == AT_ONCE:
            return self.answer(visit, pool, backend)
        if station.enter(visit):
            self.serve(visit, station, index)
        return 0

    def serve(self, visit: Visit, station: Station, index: int) -> int:
        """A server of the backend takes it on. Returns 0."""
        if self.free:
            slot = self.free.pop()
            self.served[slot] = visit
            self.places[slot] = index
        else:
            slot = len(self.served)
            self.served.append(visit)
            self.places.append(index)
        self.agenda.note(self.now + station.work_time(visit), DONE + KINDS * slot)
        return 0

    def end_service(self, slot: int) -> int:
        """The work is done, and the server free for the next. Returns 0."""
        visit = self.served[slot]
        self.served[slot] = None
        self.free.append(slot)
        if visit is None:  # lost, when its backend went down
            return 0
        index = self.places[slot]
        station = self.stations[index]
        following = station.leave()
        if following is not None:
            self.serve(following, station, index)
        station.learn(visit, self.now - visit.asked_at)
        pool = self.pools[visit.worker]
        return self.answer(visit, pool, pool.backends[index])

    def answer(self, visit: Visit, pool: Pool, backend: Backend) -> int:
        """The backend answers, well or with a failure; as `Exchange.on_head` and `on_end`. Returns 0."""
        now_s = self.now * self.service_s
        if not visit.failing:
            pool.answered(backend, now_s)
        latency_s = (self.now - visit.asked_at) * self.service_s
        if visit.failing and self.retry_failures:
            other = self.elsewhere(visit, pool, backend, STATUS)
            if other is not None:
                return self.move(visit, pool, backend, other, latency_s, FAILED_STATUS)
        status = FAILED_STATUS if visit.failing else WELL_STATUS
        pool.release(visit, backend, visit.failing, now_s, latency_s, status)
        if visit.counted:
            if visit.failing:
                self.failed += 1
            else:
                self.latencies.add(self.now - visit.arrived)
        return self.finish()

    def fail(self, visit: Visit, pool: Pool, backend: Backend, kind: Kind) -> int:
        """No answer will come; as `Exchange.on_failed`. Returns 0."""
        now_s = self.now * self.service_s
        if kind.phase is Phase.CONNECT and pool.connect_failed(backend, now_s):
            self.ejections += 1
        other = self.elsewhere(visit, pool, backend, kind)
        if other is not None:
            return self.move(visit, pool, backend, other, UNKNOWN_S, NO_STATUS)
        pool.release(visit, backend, True, now_s)
        if visit.counted:
            self.failed += 1
        return self.finish()

    def elsewhere(self, visit: Visit, pool: Pool, backend: Backend, kind: Kind) -> Backend | None:
        """Another backend for one more try, acquired; None when there is none, or no more try is allowed."""
        if visit.tried is None:
            visit.tried = []
        if len(visit.tried) + 1 >= self.max_tries or not may_retry(kind, True, True, False):
            return None
        visit.tried.append(backend)
        now_s = self.now * self.service_s
        visit.now = now_s
        if not pool.has_other(visit) or not pool.bears_retry(kind, now_s):
            return None
        chosen = pool.acquire(visit)
        if self.probing:
            self.ask(visit.worker)
        if isinstance(chosen, Backend):
            return chosen
        pool.spared_retry(kind)
        return None

    def move(self, visit: Visit, pool: Pool, old: Backend, other: Backend, latency_s: float, status: int) -> int:
        """Leave a backend for another one that is acquired. Returns 0."""
        pool.release(visit, old, True, self.now * self.service_s, latency_s, status)
        visit.asked_at = self.now
        return self.send(visit, pool, other)

    def finish(self) -> int:
        """A request has come to its end. Returns 0."""
        self.inside -= 1
        self.done += 1
        if self.coming:
            self.measured_to = self.now
        else:
            self.measuring = False
        return 0

    # Troubles, checks and probes.

    def lose_all(self, station: Station, index: int) -> None:
        """A backend has gone down with all that it had."""
        lost = []
        for slot, visit in enumerate(self.served):
            if visit is not None and self.places[slot] == index:
                lost.append(visit)
                self.served[slot] = None  # the slot itself is free when its event comes
        lost += station.empty()
        for visit in lost:
            pool = self.pools[visit.worker]
            self.fail(visit, pool, pool.backends[index], CLOSED_EARLY)

    def check(self, index: int) -> None:
        """A health check of a backend, for every worker; the next one at a jittered interval, as the prober's."""
        result = self.stations[index].check(self.of_checks.bits())
        now_s = self.now * self.service_s
        backends = [pool.backends[index] for pool in self.pools]
        were_up = [backend.healthy for backend in backends]
        for pool, backend in zip(self.pools, backends, strict=True):
            pool.probed(backend, result == WELL, now_s, result == AFTER_SERVICE)
        fallen = [was_up and not backend.healthy for was_up, backend in zip(were_up, backends, strict=True)]
        # Over one table all see the same: that is one ejection, whoever made it.
        self.ejections += any(fallen) if self.scenario.shared_view else sum(fallen)
        spread = 1.0 + CHECK_JITTER * (2.0 * self.of_checks.unit() - 1.0)
        self.agenda.note(self.now + self.scenario.checks * spread, CHECKED + KINDS * index)

    def ask(self, worker: int) -> None:
        """Send the probes that a policy wants; without a path it is answered at once, as by proxy/probes.py.

        An answer that would come after the probe's timeout is none.
        """
        prober = self.probers[worker]
        if prober is not None:
            for backend in prober.targets():
                if not self.probes_travel:
                    prober.heard(backend, UNKNOWN, UNKNOWN_S, self.now * self.service_s)
                elif not self.probes_late:
                    who = backend.row - self.base + self.size * worker
                    self.agenda.note(self.now + self.probe_delay, PROBED + KINDS * who)

    def answer_probe(self, index: int, worker: int) -> None:
        """A backend says how many requests it has, and how long its answers took; one that is down says nothing."""
        station = self.stations[index]
        if station.up:
            backend = self.pools[worker].backends[index]
            latency_s = station.latency() * self.service_s
            self.probers[worker].heard(backend, station.here, latency_s, self.now * self.service_s)


def _prober(policy: Policy) -> Any:
    """What hears of probes: the policy, or the one that is watched (core/guard.py); None for one that asks for none."""
    return next((one for one in parts(policy) if hasattr(one, "targets") and hasattr(one, "heard")), None)
