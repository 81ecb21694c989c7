"""Facts about the machine and the programs that a figure means nothing without."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.balancers import Balancer
from bench.failure import BenchError

# Program -> Debian package.
NEEDED = {
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "ab": "apache2-utils",
    "taskset": "util-linux",
    "ss": "iproute2",
}


def check_programs(*programs: str) -> None:
    """Raises BenchError that names every missing one of these, or of all that are needed, and how to get them."""
    missing = [program for program in programs or NEEDED if shutil.which(program) is None]
    if missing:
        packages = " ".join(NEEDED[program] for program in missing)
        raise BenchError(f"not installed: {', '.join(missing)}; on Debian: apt-get install {packages}")


def two_cores() -> tuple[int, int]:
    """The cores for the balancer, and for the backends and the generator. Raises BenchError on a single core."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the balancer, one for load and backends")
    return cores[0], cores[1]


def facts() -> dict[str, str | int]:
    """CPU, kernel, memory and Python, in words."""
    cpuinfo, meminfo = Path("/proc/cpuinfo").read_text(), Path("/proc/meminfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", meminfo, re.MULTILINE)
    return {
        "cpu": model[1] if model is not None else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "virtual": "yes" if "hypervisor" in cpuinfo else "no",
        "memory_mib": int(memory[1]) // 1024 if memory is not None else 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


GENERATORS = {"wrk": ("wrk", "-v"), "ab": ("ab", "-V")}


def versions(measured: tuple[Balancer, ...], generators: Sequence[str] = tuple(GENERATORS)) -> dict[str, str]:
    """The version of each balancer (of the floor: of its compiler), and of the load generators."""
    commands = {balancer.versioned or balancer.title: balancer.version for balancer in measured}
    commands |= {name: GENERATORS[name] for name in generators}
    found = {}
    for name, command in commands.items():
        # The exit status says nothing: wrk -v ends with 1. nginx answers on standard error.
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found[name] = short_version(done.stdout + done.stderr)
        if not found[name]:
            raise BenchError(f"{' '.join(command)} names no version:\n{(done.stdout + done.stderr).strip()}")
    return found


def short_version(output: str) -> str:
    """The first version number of a program's answer, and `(compiled)` or `(interpreted)` if it says so; or nothing."""
    number = re.search(r"\d+(?:\.\d[\w.+~-]*| from source)(?: \((?:compiled|interpreted)\))?", output)
    return "" if number is None else number[0]
