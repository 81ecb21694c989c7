"""What a run has shown, as plain data and as the object of `--json`.

Times are in mean service times. `requests` is how many were simulated; all other figures are of the `counted` ones,
which come after the warmup, but for `ejections`, which are of the whole run. Times are of requests that were served
well: a failure is counted, not timed, for failing fast is no merit; where nobody was, they are null.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from steelyard.simulate.engine import Engine
from steelyard.simulate.scenario import Scenario

SHARES_LISTED: Final = 100  # backends whose shares `--json` writes out


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy's run.

    mean, p50, ..., largest: None where nobody was served: there is no time to tell.
    max_queue: most requests that one backend had at a time, the ones in service included. shares: of each backend, of
    all tries. mean_inside: requests in the system, over time. failed: answered with an error, or lost; refused: nobody
    could be picked. cpu_s: what the simulation took. above: (time, share of requests that took longer). samples:
    (time, longest queue, mean queue). notes: what was said of a policy that is not ours (core/guard.py).
    """

    policy: str
    requests: int
    counted: int
    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    largest: float | None
    max_queue: int
    mean_inside: float
    shares: tuple[float, ...]
    retries: int
    ejections: int
    failed: int
    refused: int
    cpu_s: float
    above: tuple[tuple[float, float], ...] = field(repr=False)
    samples: tuple[tuple[float, int, float], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def per_s(self) -> float:
        """Requests that the simulator did in a second of CPU time."""
        return self.requests / self.cpu_s if self.cpu_s > 0.0 else 0.0


def outcome(engine: Engine, label: str, cpu_s: float, notes: tuple[str, ...]) -> Outcome:
    """What an engine has counted so far."""
    times = engine.latencies
    tries = [station.tries for station in engine.stations]
    all_tries = sum(tries) or 1
    measured = engine.measured_to - engine.measured_from
    p50, p90, p99, p999 = [times.quantile(share) if times.count else None for share in (0.5, 0.9, 0.99, 0.999)]
    return Outcome(
        policy=label,
        requests=engine.done,
        counted=times.count + engine.failed + engine.refused,
        mean=times.mean() if times.count else None,
        p50=p50,
        p90=p90,
        p99=p99,
        p999=p999,
        largest=times.largest if times.count else None,
        max_queue=max(station.longest for station in engine.stations),
        mean_inside=engine.area / measured if measured > 0.0 else 0.0,
        shares=tuple([count / all_tries for count in tries]),
        retries=engine.retries,
        ejections=engine.ejections,
        failed=engine.failed,
        refused=engine.refused,
        cpu_s=cpu_s,
        above=tuple(times.above()),
        samples=tuple(engine.samples),
        notes=notes,
    )


def as_json(scenario: Scenario, outcomes: list[Outcome]) -> dict[str, Any]:
    """The object that `--json` prints."""
    return {
        "unit": "mean service time",
        "service_time_s": scenario.service_s,
        "backends": len(scenario.servers),
        "load": scenario.load,
        "arrivals": scenario.arrivals,
        "service": scenario.service.kind,
        "workers": scenario.workers,
        "view": "shared" if scenario.shared_view else "separate",
        "seed": scenario.seed,
        "runs": [_run(one) for one in outcomes],
    }


def _run(one: Outcome) -> dict[str, Any]:
    run: dict[str, Any] = {
        "policy": one.policy,
        "mean": one.mean,
        "p50": one.p50,
        "p90": one.p90,
        "p99": one.p99,
        "p999": one.p999,
        "max": one.largest,
        "max_queue": one.max_queue,
        "mean_inside": one.mean_inside,
        "share_min": min(one.shares),
        "share_max": max(one.shares),
        "requests": one.requests,
        "counted": one.counted,
        "failed": one.failed,
        "refused": one.refused,
        "retries": one.retries,
        "ejections": one.ejections,
        "cpu_s": round(one.cpu_s, 3),
        "requests_per_s": round(one.per_s),
    }
    if len(one.shares) <= SHARES_LISTED:
        run["shares"] = list(one.shares)
    if one.notes:
        run["notes"] = list(one.notes)
    return run
