"""What starting, reloading and resting take: how long until Steelyard serves, a reload of 10,000 backends, memory.

Times are wall time on a machine that others use too, beside them the CPU time of all processes, which is steadier. A
worker's pause is the longest step of a reload during which its loop did nothing else, in CPU time, as it says itself.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import accounting, balancers, processes
from bench.failure import BenchError
from bench.rounds import Stage
from bench.scaling import with_workers
from bench.workload import KIB

BACKENDS = 10_000
MIB = KIB * KIB
SETTLE_S = 2.0
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its goal, at most. unit: `s`, `ms` or `MiB`."""

    name: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        return None if self.goal is None else self.value <= self.goal


def measure(stage: Stage) -> list[Figure]:
    """All of them; takes some ten seconds. Raises BenchError when something does not work."""
    return [*_start_and_rest(stage), *_reload(stage)]


def _start_and_rest(stage: Stage) -> list[Figure]:
    walls, cpus = [], []
    sizes: dict[str, float] = {}
    for _ in range(stage.rounds):
        began = time.monotonic()
        with balancers.running(with_workers(WORKERS), stage.backend_ports, stage.directory, _cores(stage)) as (
            pid,
            _port,
        ):
            walls.append(time.monotonic() - began)
            cpus.append(sum(accounting.cpu_ns(pid).values()) / 1e9)
            time.sleep(SETTLE_S)
            sizes = dict(_sizes(pid))
    return [
        Figure("start until it serves, wall", median(walls), "s", 1.0),
        Figure("start until it serves, CPU of all processes", median(cpus), "s"),
        Figure("supervisor at rest", sizes["supervisor"], "MiB", 25),
        Figure("control process at rest", sizes["control"], "MiB", 90),
        Figure("a worker at rest", sizes["worker"], "MiB", 60),
    ]


def _sizes(pid: int) -> list[tuple[str, float]]:
    """(what it is, resident MiB) of each process."""
    found = []
    for one in accounting.tree(pid):
        text = Path(f"/proc/{one}/status").read_text()
        words = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        name = next((name for name in ("control", "worker") if f"steelyard: {name}" in words), "supervisor")
        (line,) = [line for line in text.splitlines() if line.startswith("VmRSS:")]
        found.append((name, int(line.split()[1]) / KIB))
    return found


def _reload(stage: Stage) -> list[Figure]:
    """Of BACKENDS backends, each with another weight."""
    directory = stage.directory / "reload"
    directory.mkdir()
    file, port = directory / "steelyard.yaml", processes.free_port()
    file.write_text(_many(port, stage.backend_ports[0], 1))
    command = [sys.executable, "-m", "steelyard", "run", "-c", str(file), "--workers", str(WORKERS)]
    took, pauses = [], []
    with processes.server("reload", command, _cores(stage), port, directory) as pid:
        for turn in range(stage.rounds):
            file.write_text(_many(port, stage.backend_ports[0], 2 + turn))
            words = _ask(pid, {"do": "reload"})
            took.append(words["took_s"])
            pauses.append(words["pause_s"] * 1000)
    return [
        Figure(f"reload of {BACKENDS:,} backends, until in force", median(took), "s", 1.0),
        Figure("longest pause of a worker meanwhile, CPU", max(pauses), "ms", 50),
    ]


def _many(port: int, answering: int, weight: int) -> str:
    """A configuration whose first backend answers, and all others are never asked: their tier comes after it."""
    lines = [
        f"listeners: {{web: {{bind: '127.0.0.1:{port}', pool: web}}}}",
        "pools:",
        "  web:",
        "    health_check: off",
        "    backends:",
        f"      - 127.0.0.1:{answering}",
    ]
    for number in range(1, BACKENDS):
        address = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:9"
        lines.append(f"      - {{address: '{address}', weight: {weight}, tier: 1}}")
    return "\n".join(lines) + "\n"


def _ask(pid: int, words: dict[str, str]) -> dict[str, float]:
    """A command to the balancer, as `steelyard reload` gives it."""
    code = (
        "import json, sys; from steelyard.processes import commands, runtime; "
        "print(json.dumps(commands.call(runtime.path_of(int(sys.argv[1])), json.loads(sys.argv[2]), 60)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pid), json.dumps(words)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"the balancer did not answer: {done.stderr.strip()}")
    answer: dict[str, float] = json.loads(done.stdout)
    if "failed" in answer:
        raise BenchError(f"the reload failed: {answer['failed']}")
    return answer


def _cores(stage: Stage) -> str:
    return f"{stage.balancer_core},{stage.load_core}"


def all_met(figures: Sequence[Figure]) -> bool:
    """Whether every goal is met."""
    return all(figure.met is not False for figure in figures)
