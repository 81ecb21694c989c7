"""What was written behind `steelyard simulate` -> what is simulated; where it is wrong, the program ends here.

Wrong usage ends with 2; a trace that cannot be simulated, a policy that cannot run and a picture that cannot be drawn
end with 1, before anything is simulated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import typer

from steelyard.cli.simulate import KEYS, LOAD, REQUESTS, SERVICE_TIME
from steelyard.control import config, units
from steelyard.control.fault import Fault
from steelyard.core import policy as registered
from steelyard.core.spec import PolicySpec
from steelyard.errors import ConfigError
from steelyard.simulate import plot as picture
from steelyard.simulate import trace as traces
from steelyard.simulate import words
from steelyard.simulate.plot import PlotError
from steelyard.simulate.scenario import Scenario
from steelyard.simulate.trace import Trace, TraceError
from steelyard.simulate.words import WordError

RECORDED: Final = ("client_ip", "path", "url", "host", "method")  # what a log knows of a request
LOWEST_LOAD: Final = 1e-6
HIGHEST_LOAD: Final = 1000.0
MOST_ZIPF_KEYS: Final = 1_000_000
MOST_ROWS: Final = 4_000_000  # backends x workers: each worker has objects of its own for all
LONGEST_S: Final = 86_400.0  # a mean service time, or until a probe's answer, in service times
SHORTEST_S: Final = 1e-6
POOL: Final = "simulated"

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Written:
    """The options, as they were written; None and () where they were not."""

    policies: tuple[str, ...]
    backends: int
    load: float | None
    requests: int | None
    seed: int
    arrivals: str | None
    service: str | None
    trace: Path | None
    service_time: str | None
    key: str | None
    keys: int | None
    zipf: float | None
    speed: tuple[str, ...]
    concurrency: tuple[str, ...]
    weight: tuple[str, ...]
    limit: tuple[str, ...]
    slow: tuple[str, ...]
    fail: tuple[str, ...]
    fast_fail: tuple[str, ...]
    down: tuple[str, ...]
    checks: str
    tries: int
    no_ejection: bool
    retry_failures: bool
    workers: int
    view: str
    probe_delay: float
    warmup: str
    plot: Path | None


def scenario(written: Written) -> Scenario:
    """All but the policies; ends the program where something is wrong."""
    try:
        if written.plot is not None:
            picture.check(written.plot)
        trace = None if written.trace is None else _trace(written.trace)
    except (PlotError, TraceError) as exc:
        typer.echo(exc, err=True)
        raise typer.Exit(1) from None
    try:
        return _scenario(written, trace)
    except WordError as exc:
        raise typer.BadParameter(str(exc)) from None


def policies(written: Written, scenario: Scenario) -> list[tuple[str, PolicySpec]]:
    """What each policy is called, and what it is; ends the program where one is wrong."""
    try:
        mappings = [(text, words.policy(text)) for text in written.policies]
    except WordError as exc:
        raise typer.BadParameter(str(exc), param_hint="--policy") from None
    if written.key is not None:  # also where no policy reads it: a mistake is one
        _read(f"--key {written.key}", {"name": "hash", "key": written.key}, scenario, backends=1)
    return [(text, _policy(text, mapping, written.key, scenario)) for text, mapping in mappings]


def _scenario(written: Written, trace: Trace | None) -> Scenario:
    arrivals, service = _kinds(written, trace)
    if trace is not None and (written.keys is not None or written.zipf is not None):
        raise WordError("--keys, --zipf: a trace has its own clients and paths; leave them out")
    warmup = _named("--warmup", words.share, written.warmup)
    if warmup >= 1.0:
        raise WordError(f"--warmup {written.warmup}: leaves nothing to report; write 10%")
    count = written.backends
    if count * written.workers > MOST_ROWS:
        most = MOST_ROWS // written.workers
        raise WordError(f"--backends {count}: is too many for {written.workers} workers; write {most} or less")
    _bounds(written)
    return Scenario(
        servers=words.servers(count, written.speed, written.weight, written.concurrency, written.limit),
        requests=written.requests or (REQUESTS if trace is None else len(trace.starts)),
        load=_load(written.load, arrivals),
        arrivals=arrivals,
        service=words.service(service),
        trace=trace,
        keys=written.keys or KEYS,
        zipf=written.zipf or 0.0,
        troubles=words.troubles(count, written.slow, written.fail, written.fast_fail, written.down),
        checks=_named("--checks", words.interval, written.checks),
        tries=written.tries,
        retry_failures=written.retry_failures,
        workers=written.workers,
        shared_view=_named("--view", lambda text: words.one_of(text, words.VIEWS), written.view) == "shared",
        service_s=_service_s(written.service_time, trace),
        probe_delay=written.probe_delay,
        warmup=warmup,
        seed=written.seed,
        ejection=not written.no_ejection,
    )


def _bounds(written: Written) -> None:
    """Raise WordError for a number that is none, or one that no run would come to its end with."""
    if written.zipf and (written.keys or KEYS) > MOST_ZIPF_KEYS:
        raise WordError(f"--keys {written.keys}: is too many with --zipf; write {MOST_ZIPF_KEYS} or less")
    if not 0.0 <= written.probe_delay <= LONGEST_S:
        raise WordError(f"--probe-delay {written.probe_delay}: is beyond all reason; write 0.01")


def _trace(path: Path) -> Trace:
    """Read a trace, and say what was left out of it."""
    found = traces.load(path)
    warning = traces.warning(found)
    if warning is not None:
        typer.echo(warning, err=True)
    return found


def _kinds(written: Written, trace: Trace | None) -> tuple[str, str]:
    """Which arrivals and service times; a trace brings what it has."""
    timed = trace is not None and trace.durations is not None
    arrivals = written.arrivals or ("poisson" if trace is None else "trace")
    service = written.service or ("trace" if timed else "exponential")
    _named("--arrivals", lambda text: words.one_of(text, words.ARRIVALS), arrivals)
    _named("--service", words.service, service)
    for option, kind in (("--arrivals", arrivals), ("--service", service)):
        if kind == "trace" and trace is None:
            raise WordError(f"{option} trace: there is no trace; give --trace access.log")
    if service == "trace" and not timed:
        mend = "log $request_time behind the combined format, or use --service exponential"
        raise WordError(f"--service trace: the trace does not say how long requests took; {mend}")
    return arrivals, service


def _load(load: float | None, arrivals: str) -> float | None:
    if load is None:
        return None if arrivals == "trace" else LOAD
    if not LOWEST_LOAD <= load <= HIGHEST_LOAD:
        raise WordError(
            f"--load {load}: is not above 0 (or beyond all reason); write 0.9 for 90 % of what can be served"
        )
    return load


def _service_s(text: str | None, trace: Trace | None) -> float:
    """What a mean service time is in seconds."""
    if text is None:
        return (0.0 if trace is None else trace.mean_duration_s) or units.parse_duration(SERVICE_TIME)
    try:
        service_s = units.parse_duration(text)
        if service_s <= 0.0:
            raise Fault("is no time at all", f"write {SERVICE_TIME}")
        if not SHORTEST_S <= service_s <= LONGEST_S:
            raise Fault("is beyond all reason", f"write {SERVICE_TIME}")
    except Fault as exc:
        raise WordError(f"--service-time {text}: {exc}; {exc.mend}") from None
    return service_s


def _named(option: str, read: Callable[[str], _Value], text: str) -> _Value:
    """What was written, with the option's name in the error."""
    try:
        return read(text)
    except WordError as exc:
        raise WordError(f"{option}: {exc}") from None


def _policy(text: str, mapping: dict[str, Any], key: str | None, scenario: Scenario) -> PolicySpec:
    """A policy as a configuration would have it, checked by the same rules."""
    name = mapping["name"]
    reads_key = ":" in name or (name in registered.names() and "key" in registered.registered(name).options)
    if key is not None and reads_key:
        mapping.setdefault("key", key)
    return _read(f"--policy {text}", mapping, scenario, len(scenario.servers))


def is_foreign(policy: PolicySpec) -> bool:
    """Whether it is somebody else's code."""
    return ":" in policy.name or not registered.registered(policy.name).ours


def _read(option: str, mapping: dict[str, Any], scenario: Scenario, backends: int) -> PolicySpec:
    """The policy that a mapping describes; ends the program where it is wrong. option: where that was written."""
    addresses = [f"backend-{at}:80" for at in range(backends)]
    whole = {
        "listeners": {POOL: {"bind": ":8080", "pool": POOL}},
        "pools": {POOL: {"policy": mapping, "backends": addresses}},
    }
    try:
        found = config.from_mapping(whole).pools[0].policy
    except ConfigError as exc:
        for problem in exc.problems:
            part = problem.key.removeprefix(f"pools.{POOL}.policy").removeprefix(".").removeprefix("name")
            where = option + (f": {part}" if part and not option.startswith("--key") else "")
            typer.echo(replace(problem, where="command line", key=where), err=True)
        raise typer.Exit(1) from None
    known = found.key is None or found.key in RECORDED or found.key.startswith("query:")
    if scenario.trace is not None and not known:
        mend = f"use {', '.join(RECORDED)} or query:NAME"
        typer.echo(f"command line: {option}: no log records {found.key}; {mend}", err=True)
        raise typer.Exit(1)
    return found
