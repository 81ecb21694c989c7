"""The balancers that are compared, and the backends behind them: configuration, command, version.

The configurations are bench/configs/*: {{name}} in them is filled in here. Each balancer has one worker.
"""

import re
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.failure import BenchError
from bench.workload import CASES, body

HERE = Path(__file__).parent
CONFIGS = HERE / "configs"
BACKENDS = 3


@dataclass(frozen=True, slots=True)
class Balancer:
    """One balancer.

    template: its configuration, under configs/. command: with `{file}` and the like where a path or port belongs.
    version: the command that tells its version, or that of `versioned`.
    rewrites: False for the floor, which passes bytes on unread.
    """

    name: str
    title: str
    template: str | None
    command: tuple[str, ...]
    version: tuple[str, ...]
    versioned: str | None = None
    rewrites: bool = True


BALANCERS: tuple[Balancer, ...] = (
    Balancer("nginx", "nginx", "nginx.conf", ("nginx", "-p", "{directory}", "-c", "{file}"), ("nginx", "-v")),
    Balancer("haproxy", "HAProxy", "haproxy.cfg", ("haproxy", "-db", "-f", "{file}"), ("haproxy", "-v")),
    Balancer(
        "steelyard",
        "Steelyard",
        "steelyard.yaml",
        (sys.executable, "-m", "steelyard", "run", "-c", "{file}"),
        (sys.executable, "-m", "steelyard", "--version"),
    ),
)
FLOOR = Balancer(
    "floor",
    "floor (bare C loop)",
    None,
    ("{directory}/floor", "{port}", "{backend1}", "{backend2}", "{backend3}"),
    ("gcc", "-dumpfullversion"),
    versioned="gcc",
    rewrites=False,
)


def fill(template: str, values: Mapping[str, object]) -> str:
    """The template with each {{name}} replaced. Raises BenchError for a name without a value."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise BenchError(f"a configuration template asks for the unknown value {match[1]!r}")
        return str(values[match[1]])

    return re.sub(r"\{\{(\w+)\}\}", value, template)


@contextmanager
def backends(directory: Path, core: int | str) -> Iterator[list[int]]:
    """Three nginx backends; gives their ports."""
    answers = directory / "answers"
    answers.mkdir()
    for case in CASES:
        (answers / case.path[1:]).write_bytes(body(case.body_bytes))
    small = body(CASES[0].body_bytes).decode().replace("\n", "\\n")
    ports = [processes.free_port() for _ in range(BACKENDS)]
    with ExitStack() as stack:
        for number, port in enumerate(ports, 1):
            own = directory / f"backend{number}"
            own.mkdir()
            values = {"directory": own, "answers": answers, "port": port, "small": small}
            file = own / "nginx.conf"
            file.write_text(fill((CONFIGS / "backends.nginx.conf").read_text(), values))
            command = ["nginx", "-p", str(own), "-c", str(file)]
            stack.enter_context(processes.server(f"backend {number}", command, core, port, own))
        yield ports


@contextmanager
def running(
    balancer: Balancer, backend_ports: Sequence[int], directory: Path, core: int | str
) -> Iterator[tuple[int, int]]:
    """A fresh process of the balancer; gives its process id and port."""
    own = directory / balancer.name
    own.mkdir(exist_ok=True)
    port = processes.free_port()
    values: dict[str, object] = {"directory": own, "port": port, "file": own / (balancer.template or "")}
    # HAProxy counts two descriptors for each of its connections, and wants them at once.
    values["most"] = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100) // 2
    values |= {f"backend{number}": backend for number, backend in enumerate(backend_ports, 1)}
    if balancer.template is not None:
        (own / balancer.template).write_text(fill((CONFIGS / balancer.template).read_text(), values))
    command = [part.format(**values) for part in balancer.command]
    with processes.server(balancer.name, command, core, port, own) as pid:
        yield pid, port


def build_floor(directory: Path) -> None:
    """Compile the floor. Raises BenchError without a C compiler."""
    own = directory / FLOOR.name
    own.mkdir(exist_ok=True)
    # Not named .c: in this project that is what Cython writes, ignored by git and removed by `make clean`.
    command = ["gcc", "-O2", "-Wall", "-Werror", "-o", str(own / "floor"), "-x", "c", str(HERE / "floor.c99")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"the floor does not compile: {done.stderr.strip()}")
