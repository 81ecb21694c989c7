"""What slow clients cost the others: the latencies of 200 usual clients, alone and beside 2,000 slow ones.

A slow one sends a byte a second: of its head, or of a body, for which the balancer holds a backend's connection as
well. The usual ones pause up to 100 ms before each request, so that their latency is that of a balancer with time to
spare and not the length of a closed loop. All three are measured within each round, in an order that changes, each with
a fresh process; the best round of each counts, for where others use the machine a p99 says more of them than of us.

    python -m bench.slow      this alone: it needs wrk and taskset, for its backend is a second Steelyard
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench import idle, load, processes
from bench.alone import alone
from bench.failure import BenchError
from bench.workload import CASES, body

USUAL: Final = 200
SLOW: Final = 2000
KINDS: Final = {"none": "no slow clients", "heads": "slow heads", "bodies": "slow bodies"}
# Of the p99, with slow clients over without.
GOAL: Final = 2.0
ROUNDS: Final = 3
SECONDS: Final = 2
# Until the balancer has let in who is connected, and has asked the backend for all of them.
SETTLE_S: Final = 1.0

BACKEND: Final = """\
listeners: {{web: {{bind: '127.0.0.1:{port}', routes: [{{respond: {{body: {body}}}}}]}}}}
"""
# All defaults, but that slow heads last as long as the measurement: their deadline is 15 s.
BALANCER: Final = """\
listeners:
  web:
    bind: '127.0.0.1:{port}'
    timeouts: {{head: 1m}}
    routes: [{{path: /upload, pool: sink}}, {{pool: web}}]
pools:
  web: {{backends: ['127.0.0.1:{backend}']}}
  sink: {{backends: ['127.0.0.1:{sink}'], timeouts: {{response: 5m}}}}
"""


@dataclass(frozen=True, slots=True)
class Slow:
    """One measurement. kind: of KINDS. slow: how many slow clients there were, from its beginning to its end."""

    round: int
    kind: str
    slow: int
    requests_per_s: float
    p50_us: float
    p99_us: float


def measure(
    directory: Path, balancer_core: int, load_core: int, rounds: int = ROUNDS, seconds: int = SECONDS
) -> Iterator[Slow]:
    """Three for each round. Raises BenchError where a request fails, or a slow client is let go."""
    own = directory / "slow"
    own.mkdir()
    port = processes.free_port()
    with _steelyard("backend of slow", BACKEND, own, port, load_core, body=repr(body(CASES[0].body_bytes).decode())):
        for number in range(1, rounds + 1):
            kinds = list(KINDS)
            for kind in kinds[number % 3 :] + kinds[: number % 3]:
                yield _sample(own, number, kind, port, balancer_core, load_core, seconds)


def count(rounds: int) -> int:
    """How many measurements those are."""
    return rounds * len(KINDS)


def _sample(own: Path, number: int, kind: str, backend: int, balancer_core: int, load_core: int, seconds: int) -> Slow:
    case = CASES[0]
    with _crowd(load_core) as crowd:
        port = processes.free_port()
        with _steelyard("balancer", BALANCER, own, port, balancer_core, backend=backend, sink=crowd.sink):
            load.warm_up(case, port, load_core)
            slow = 0 if kind == "none" else crowd.ask(f"{kind} {port} {SLOW}")
            time.sleep(SETTLE_S)
            seen = load.run_paced(case, port, USUAL, seconds, load_core)
            left = crowd.ask("open")
            crowd.process.kill()  # else the balancer would wait for them when it is told to stop
    if (slow, left) != ((0, 0) if kind == "none" else (SLOW, SLOW)):
        raise BenchError(f"of {SLOW} slow clients {slow} could connect, and {left} were left at the end")
    return Slow(number, kind, left, seen.requests / seen.seconds, seen.p50_us, seen.p99_us)


@contextmanager
def _steelyard(name: str, config: str, own: Path, port: int, core: int, **values: object) -> Iterator[None]:
    """One worker of Steelyard with this configuration."""
    file = own / f"{name.replace(' ', '-')}.yaml"
    file.write_text(config.format(port=port, **values))
    command = [sys.executable, "-m", "steelyard", "run", "-c", str(file), "--workers", "1"]
    with processes.server(name, command, core, port, own):
        yield


class _Crowd:
    """The process of the slow clients. sink: the port of its backend."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.sink = self._answer()

    def ask(self, what: str) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("the process of the slow clients has ended; what it said is above")
        return int(line)


@contextmanager
def _crowd(core: int) -> Iterator[_Crowd]:
    command = processes.pinned([sys.executable, "-m", "bench.crowd"], core)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Crowd(process)
        finally:
            process.kill()


def best(samples: Sequence[Slow], kind: str) -> Slow | None:
    """The one with the least p99, of this kind."""
    return min((sample for sample in samples if sample.kind == kind), key=lambda sample: sample.p99_us, default=None)


def ratio(samples: Sequence[Slow], kind: str) -> float | None:
    """The p99 with such slow clients over that without, the best of each."""
    without, beside = best(samples, "none"), best(samples, kind)
    return None if without is None or beside is None else beside.p99_us / without.p99_us


def main() -> int:
    """Measure and show this table alone; gives the exit status."""
    return alone("wrk", measure=_this)


def _this(directory: Path, balancer_core: int, load_core: int, console: Console) -> list[Table]:
    from bench import table  # which shows all tables, this one included

    idle.raise_descriptor_limit(SLOW)
    samples = []
    for sample in measure(directory, balancer_core, load_core):
        console.print(f"round {sample.round}, {KINDS[sample.kind]}: p99 {sample.p99_us / 1000:.2f} ms")
        samples.append(sample)
    return [table.of_slow(samples)]


if __name__ == "__main__":
    sys.exit(main())
