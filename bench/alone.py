"""One table of `make bench` measured alone: `python -m bench.slow` and its like. What they have in common."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench import machine
from bench.failure import BenchError

FAILED: Final = 1
INTERRUPTED: Final = 130  # 128 and the number of SIGINT, as shells have it

# Measures on the balancer's core and the load's, in a directory of its own; what it says meanwhile goes to the console.
Measure = Callable[[Path, int, int, Console], Iterable[Table]]


def alone(*programs: str, measure: Measure) -> int:
    """Measure and show; the exit status. programs: that must be there."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        machine.check_programs(*programs, "taskset")
        balancer_core, load_core = machine.two_cores()
        os.sched_setaffinity(0, {load_core})
        with tempfile.TemporaryDirectory(prefix="steelyard-bench-") as name:
            Path(name).chmod(0o755)  # nginx's workers are not root
            tables = list(measure(Path(name), balancer_core, load_core, console))
    except BenchError as error:
        console.print(f"bench: {error}", style="red", markup=False, highlight=False)
        return FAILED
    except KeyboardInterrupt:
        console.print("bench: interrupted; every process it started has ended")
        return INTERRUPTED
    for table in tables:
        console.print(table)
    return 0
