"""One soak, from the start of its processes to its last check.

The clients run here, the backends in a process of their own, the balancer as `steelyard run` with two workers. First
a warm-up, after which all is quiet and the workers' descriptors and memory are noted; then the soak itself; then quiet
again. A last part has the same clients on a balancer in this process's own event loop, whose tasks can be looked at.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.processes.balancer import Balancer, balancing
from tests.real.client import HOST, Client
from tests.real.support import running, until
from tests.soak.checks import Check, Rest, at_rest, of_books, of_clients, of_counters, records_in
from tests.soak.clients import Sessions
from tests.soak.echo import HEALTH
from tests.soak.tally import Tally
from tools.compile import ROOT

BACKENDS: Final = 4
WORKERS: Final = 2
# Sessions at a time: what two cores serve without a queue of their own.
SESSIONS: Final = 24
RELOAD_EVERY_S: Final = 2.0
WARM_UP: Final = 0.2
EMBEDDED: Final = 0.1
QUIET_S: Final = 20.0
# So many connections that each worker has some: that one has none happens once in a million times.
FOR_ALL_WORKERS: Final = 20
POLICIES: Final[tuple[Any, ...]] = (
    *(
        "round_robin",
        "least_connections",
        "random",
        "power_of_two",
        "peak_ewma",
        "least_response_time",
        "prequal",
        "first",
    ),
    *({"name": name, "key": "path"} for name in ("consistent_hash", "hash", "maglev", "rendezvous")),
)

BREAKER: Final = {"consecutive_failures": 5, "min_requests": 10, "window": "1s", "open_for": "300ms"}
# What a pool may have beside its backends: in how many of ten configurations, and what.
EXTRAS: Final[Mapping[str, tuple[int, Sequence[Any]]]] = {
    "hedge": (4, ["20ms", "100ms", "p95"]),
    "max_in_flight": (4, [12, 40]),
    "queue": (4, [{"size": 10, "timeout": "100ms"}, {"size": 100, "timeout": "1s"}]),
    "ejection": (
        7,
        [
            False,
            {"penalty": "200ms", "max_penalty": "1s"},
            {
                "penalty": "200ms",
                "max_ejected": "100%",
                "errors": 2,
                "window": "1s",
                "min_requests": 10,
                "min_backends": 3,
            },
        ],
    ),
    "circuit_breaker": (3, [BREAKER, {**BREAKER, "slow_call": "100ms"}]),
    "pool_circuit_breaker": (2, [{**BREAKER, "error_rate": "30%"}]),
    "retry": (5, [{"on_status": [502, 503]}, {"try_timeout": "200ms"}, {"same_backend": 1, "tries": 2}]),
    "slow_start": (2, ["1s"]),
}
# And a listener. Where a rate is only tried out, nobody is refused.
OF_LISTENER: Final[Mapping[str, tuple[int, Sequence[Any]]]] = {
    "max_in_flight": (2, [40]),
    "routes": (4, [[{"pool": "web", "rate_limit": {"rate": "50/s", "dry_run": True}}]]),
    "max_connections": (2, [500]),
}

LEFT_ALONE: Final = ("ejected", "back", "circuit open", "circuit half-open", "circuit closed", "down", "up")

Say = Callable[[str, float, Tally], None]


@dataclass
class Soaked:
    """What was done, and what of it holds.

    met: the faults; words: of the access log; retried: with several tries; counters: of `steelyard status --json`;
    said: how often its log told of what (LEFT_ALONE).
    """

    tally: Tally
    met: Mapping[str, int] = field(default_factory=dict)
    words: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    said: Mapping[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


class BackendProcess:
    """The process of the backends. ports: of each."""

    def __init__(self, process: asyncio.subprocess.Process, ports: list[int]) -> None:
        self.process = process
        self.ports = ports

    async def ask(self, what: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what.encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return answer


@asynccontextmanager
async def backends(seed: int) -> AsyncIterator[BackendProcess]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak.backends", str(seed), str(BACKENDS)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield BackendProcess(process, json.loads(await process.stdout.readline()))
        process.stdin.close()
        await asyncio.wait_for(process.wait(), QUIET_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def configuration(chance: random.Random, ports: list[int], log: Path | None) -> dict[str, Any]:
    """Any of those that serve: some of the backends, any weights, any policy, some of all that a pool may have."""
    some = chance.sample(ports, chance.randrange(2, len(ports) + 1))
    entries = [{"address": f"{HOST}:{port}", "weight": chance.randrange(1, 5)} for port in some]
    extras = _some(chance, EXTRAS)
    if "queue" in extras:
        extras.setdefault("max_in_flight", 24)
    pool = {
        "policy": chance.choice(POLICIES),
        "backends": entries,
        "health_check": {"kind": "http", "path": HEALTH, "interval": "500ms", "timeout": "300ms", "rise": 1, "fall": 2},
        "timeouts": {"connect": "500ms", "response": "1s", "idle": "1s", "tunnel": "5s"},
        **extras,
    }
    place = {"bind": f"{HOST}:0", **_some(chance, OF_LISTENER)}
    if "routes" not in place:
        place["pool"] = "web"
    config: dict[str, Any] = {"listeners": {"web": place}, "pools": {"web": pool}}
    return config if log is None else {**config, "workers": WORKERS, "access_log": str(log)}


def _some(chance: random.Random, extras: Mapping[str, tuple[int, Sequence[Any]]]) -> dict[str, Any]:
    """Some of them, as often as they say."""
    return {name: chance.choice(values) for name, (often, values) in extras.items() if chance.randrange(10) < often}


async def soak(seconds: float, seed: int, home: Path, say: Say) -> Soaked:
    """Run it. home: an empty directory, in which the configuration and the access log are left."""
    chance = random.Random(f"soak {seed}")
    log = home / "access.log"
    soaked = Soaked(Tally())
    async with backends(seed) as served:
        try:
            await _processes(seconds, chance, log, served, soaked, say)
            complaint = ""
        except (AssertionError, TimeoutError) as exc:  # of `balancing`: something is in flight, or a traceback
            complaint = f"{type(exc).__name__} {exc}"
        soaked.checks.append(Check("the balancer tells of no bug", not complaint, "", complaint[-3000:]))
        soaked.checks += await _embedded(seconds * EMBEDDED, chance, served, say)
    return soaked


async def _processes(
    seconds: float, chance: random.Random, log: Path, served: BackendProcess, soaked: Soaked, say: Say
) -> None:
    """The part with `steelyard run`. Raises AssertionError or TimeoutError where the balancer does not end well."""
    tally = soaked.tally
    resting = configuration(chance, served.ports, log)
    async with balancing(log.parent, resting) as balancer:
        sessions = Sessions(balancer.port, tally)
        await served.ask("stir")
        await _busy("warm-up", seconds * WARM_UP, sessions, chance, say, reloads=(balancer, served.ports, log))
        await served.ask("calm")
        await _come_to_rest(balancer, resting, tally)
        before, _ = await _quiet(balancer, served, None)
        await served.ask("stir")
        await _busy(
            "soak", seconds * (1 - WARM_UP - EMBEDDED), sessions, chance, say, reloads=(balancer, served.ports, log)
        )
        numbers = await served.ask("calm")
        await _come_to_rest(balancer, resting, tally)
        after, still_open = await _quiet(balancer, served, before)
        status = await balancer.status()
        numbers = {**numbers, "open": still_open}
        soaked.met = numbers["met"]
        soaked.checks += at_rest(before, after, status, numbers)
        taken = status["reloads"]
        soaked.checks.append(Check("every reload is taken", taken == tally.reloads, f"{taken} of {tally.reloads}"))
        said = balancer.program.complained
        soaked.said = {what: said.count(f"[{what}") for what in LEFT_ALONE}
    soaked.checks.append(Check("no record is lost", "records lost" not in said, "", said[-500:]))
    soaked.checks += of_clients(tally, numbers)
    records = records_in(log)
    soaked.words = Counter(record["word"] for record in records)
    soaked.retried = sum(record["tries"] > 1 for record in records)
    soaked.checks += of_books(tally, records, numbers)
    soaked.counters = status["counters"]
    soaked.checks += of_counters(soaked.counters, records, numbers)


async def _busy(
    what: str, seconds: float, sessions: Sessions, chance: random.Random, say: Say, reloads: Any = None
) -> None:
    """Many sessions at a time for so long; every one that was begun is ended."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    async def one_after_the_other(number: int) -> None:
        own = random.Random(f"{chance.random()} {number}")
        while loop.time() < until:
            await sessions.any(own)

    async def reload_often(balancer: Balancer, ports: list[int], log: Path) -> None:
        while loop.time() < until - RELOAD_EVERY_S:
            await asyncio.sleep(RELOAD_EVERY_S * chance.uniform(0.2, 1.8))
            await _reload(balancer, configuration(chance, ports, log), sessions.tally)

    async with asyncio.TaskGroup() as group:
        for number in range(SESSIONS):
            group.create_task(one_after_the_other(number))
        if reloads is not None:
            group.create_task(reload_often(*reloads))
        while (left := until - loop.time()) > 0:
            say(what, left, sessions.tally)
            await asyncio.sleep(min(left, 0.2))


async def _reload(balancer: Balancer, config: dict[str, Any], tally: Tally) -> None:
    await balancer.reload(config)
    tally.reloads += 1


async def _come_to_rest(balancer: Balancer, config: dict[str, Any], tally: Tally) -> None:
    """Have it take the configuration that it rests by, the same one both times, and let every worker notice.

    Near a limit of connections a listener accepts by itself, without the descriptor that the loop would have; where
    there is plenty again, the next client gives it back.
    """
    await _reload(balancer, config, tally)
    for client in [await Client.open(balancer.port) for _ in range(FOR_ALL_WORKERS)]:
        client.close()


async def _quiet(balancer: Balancer, served: BackendProcess, before: Rest | None) -> tuple[Rest, int]:
    """The balancer at rest, once it is, or when it has had its time: then the checks say what is left.

    before: it is at rest when it has no more descriptors than there. Returns also how many connections the backends
    had at that very moment: a health check has one now and then, so to ask later would be to ask for another moment.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + QUIET_S
    while True:
        status = await balancer.status()
        rest = Rest.of(worker["pid"] for worker in status["workers"])
        same = before is None or all(
            len(links) <= len(before.descriptors.get(pid, ())) for pid, links in rest.descriptors.items()
        )
        still_open: int = (await served.ask("numbers"))["open"]
        quiet = (
            not sum(one["in_flight"] for pool in status["pools"].values() for one in pool)
            and not sum(worker["clients"] for worker in status["workers"])
            and (before is None or still_open == 0)
        )
        if (same and quiet and (before is not None or loop.time() > give_up - QUIET_S + 3)) or loop.time() > give_up:
            return rest, still_open
        await asyncio.sleep(0.1)


async def _embedded(seconds: float, chance: random.Random, served: BackendProcess, say: Say) -> list[Check]:
    """The same clients on a balancer of this process: `running` holds that no task and nothing in flight is left."""
    tally = Tally("e")
    before = await served.ask("stir")
    records: list[Mapping[str, Any]] = []
    counters: Mapping[str, int] = {}
    left = ""
    try:
        async with running(configuration(chance, served.ports, None)) as lb:
            await _busy("embedded", seconds, Sessions(lb.port, tally), chance, say)
            await served.ask("calm")
            await until(lambda: lb.balancer._running().clients() == 0, "every client has gone")
            counters = lb.balancer.counters()
        records = [record._asdict() for record in lb.records]
    except (AssertionError, TimeoutError) as exc:
        left = f"{type(exc).__name__} {exc}"
    numbers = await served.ask("numbers")
    numbers["requests"] -= before["requests"]
    numbers["heads"] -= before["heads"]
    numbers["posts twice"] = [token for token in numbers["posts twice"] if token in tally.requests]
    numbers["often"] = {token: times for token, times in numbers["often"].items() if token in tally.requests}
    checks = [Check("no task is left", not left, f"{len(records)} exchanges", left)]
    if not left:
        checks += of_clients(tally, numbers) + of_books(tally, records, numbers)
        checks += of_counters(counters, records, numbers)
    return [check._replace(what=f"embedded: {check.what}") for check in checks]
