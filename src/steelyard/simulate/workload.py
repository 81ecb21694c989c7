"""The requests: when each arrives, how much work it is, whose it is, and its luck.

All that is drawn belongs to the request, one draw from each stream in the order of arrival: whatever a policy does,
its competitor meets the very same requests ("common random numbers", so that a difference is the policies').
Zipf's law: the k-th of the keys is asked for in proportion to 1 / k^s.
"""

from array import array
from bisect import bisect_right
from itertools import accumulate
from typing import Final
from urllib.parse import parse_qsl

from steelyard.simulate.chance import Chance
from steelyard.simulate.scenario import Scenario
from steelyard.simulate.trace import Trace

# Streams of chance. The policy's own draws have one too, so that a policy that draws more changes no request.
ARRIVALS: Final = 1
SERVICES: Final = 2
LUCK: Final = 3
KEYS: Final = 4
WORKERS: Final = 5
POLICY: Final = 6
CHECKS: Final = 7

# Kinds of arrivals and of service times, all different; workload.pxd makes them C integers.
POISSON: Final = 0
UNIFORM: Final = 1
RECORDED: Final = 2
EXPONENTIAL: Final = 0
FIXED: Final = 1
BIMODAL: Final = 3


class Workload:
    """A stream of requests; `draw` makes the next one.

    The present one: at (its arrival), service (its work), luck (64 bits that decide whether it fails where some do),
    key (index of its client, or of its line in the trace), worker. left: how many are to come after it.
    """

    def __init__(self, scenario: Scenario) -> None:
        seed = scenario.seed
        self.trace = scenario.trace
        self.of_arrivals = Chance(seed, ARRIVALS)
        self.of_services = Chance(seed, SERVICES)
        self.of_luck = Chance(seed, LUCK)
        self.of_keys = Chance(seed, KEYS)
        self.of_workers = Chance(seed, WORKERS)
        self.arrival_kind = {"poisson": POISSON, "uniform": UNIFORM, "trace": RECORDED}[scenario.arrivals]
        service = scenario.service
        kinds = {"exponential": EXPONENTIAL, "fixed": FIXED, "bimodal": BIMODAL, "trace": RECORDED}
        self.service_kind = kinds[service.kind]
        self.share = service.share
        self.short_work = 1.0 / (1.0 + service.share * (service.times - 1.0))  # so that the mean is 1
        self.long_work = self.short_work * service.times
        self.gap = 0.0 if scenario.load is None else 1.0 / (scenario.load * scenario.capacity)
        self.lines = 0
        self.scale = self.work_scale = self.span = 0.0
        self.starts = self.works = array("d")
        if self.trace is not None:
            self.take_trace(self.trace, scenario)
        self.keys = scenario.keys if self.trace is None else self.lines
        self.worker_count = scenario.workers
        self.zipf = array("d")
        if scenario.zipf > 0.0 and self.trace is None:
            weights = [1.0 / rank**scenario.zipf for rank in range(1, self.keys + 1)]
            self.zipf = array("d", accumulate(weights))
        self.hashes = array("Q", bytes(8 * self.keys))
        self.left = scenario.requests
        self.drawn = 0
        self.at = 0.0
        self.service = 1.0
        self.luck = self.key = self.worker = 0
        self.draw()

    def take_trace(self, trace: Trace, scenario: Scenario) -> None:
        """Note a trace's times, in our unit; a trace that is too short for all requests begins anew at its end."""
        self.lines = len(trace.starts)
        self.starts = trace.starts
        recorded_gap = trace.span_s / self.lines
        if self.arrival_kind == RECORDED:
            self.scale = 1.0 / scenario.service_s if scenario.load is None else self.gap / recorded_gap
            self.gap = recorded_gap * self.scale
            self.span = trace.span_s * self.scale
        if trace.durations is not None:
            self.works = trace.durations
            self.work_scale = 1.0 / trace.mean_duration_s

    def draw(self) -> bool:
        """Go on to the next request; False when there was none left."""
        if self.left == 0:
            return False
        self.left -= 1
        line = self.drawn % self.lines if self.lines else 0
        if self.arrival_kind == POISSON:
            self.at += self.of_arrivals.exponential() * self.gap
        elif self.arrival_kind == UNIFORM:
            self.at += self.gap
        else:
            self.at = self.starts[line] * self.scale + self.span * (self.drawn // self.lines)
        if self.service_kind == EXPONENTIAL:
            self.service = self.of_services.exponential()
        elif self.service_kind == BIMODAL:
            self.service = self.long_work if self.of_services.unit() < self.share else self.short_work
        elif self.service_kind == RECORDED:
            self.service = self.works[line] * self.work_scale
        self.luck = self.of_luck.bits()
        if self.lines:
            self.key = line
        elif len(self.zipf):
            self.key = self.by_zipf(self.of_keys.unit() * self.zipf[self.keys - 1])
        else:
            self.key = self.of_keys.below(self.keys)
        if self.worker_count > 1:
            self.worker = self.of_workers.below(self.worker_count)
        self.drawn += 1
        return True

    def by_zipf(self, point: float) -> int:
        """Whose stretch of all keys' weights, laid end to end, that point is in."""
        return min(bisect_right(self.zipf, point), self.keys - 1)

    def text(self, name: str, key: int) -> str | None:
        """What a policy may ask about the request of this key, as `Pick.get` does; None for what is not known."""
        if self.trace is not None:
            return recorded(self.trace, name, key)
        if name == "client_ip":
            return f"10.{key >> 16 & 255}.{key >> 8 & 255}.{key & 255}"
        if name in ("path", "url"):
            return f"/{key}"
        if name == "host":
            return "simulated"
        if name == "method":
            return "GET"
        return str(key)


def recorded(trace: Trace, name: str, line: int) -> str | None:
    """A part of the request in this line (from 0) of a trace; None for one that no log records."""
    if name == "client_ip":
        return trace.clients[line]
    if name in ("path", "url"):
        return trace.targets[line]
    if name == "host":
        return trace.hosts[line]
    if name == "method":
        return trace.methods[line]
    if name.startswith("query:"):
        _, _, query = trace.targets[line].partition("?")
        return dict(reversed(parse_qsl(query))).get(name.removeprefix("query:"))
    return None
