"""One run of the ladder, from the backends' start to the last figure: two minutes, or half a one where it is quick."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench import balancers, idle, machine, processes, rounds
from bench.ladder import cells
from bench.ladder.cells import QUICK, TITLES
from bench.ladder.page import Ladder

PROGRAMS: Final = ("nginx", "wrk", "taskset", "ss")


def run_quick(cores: tuple[int, int], console: Console) -> Ladder:
    """Does it work, and is the order of the rungs still what it was: no figures to quote."""
    return run(cores, QUICK, 1, 1, console)


def run(cores: tuple[int, int], connections: Sequence[int], number: int, seconds: int, console: Console) -> Ladder:
    """Measure all rungs, on these two cores. Raises BenchError where that cannot be done."""
    machine.check_programs(*PROGRAMS)
    idle.raise_descriptor_limit(2 * max(connections))  # of a client and of a backend
    started = datetime.now(UTC).isoformat(timespec="seconds")
    (steelyard,) = [balancer for balancer in balancers.BALANCERS if balancer.name == "steelyard"]
    versions = machine.versions((steelyard,), ("wrk",))
    steps = cells.plan(number, connections)
    columns = (TextColumn("{task.description:45}"), BarColumn(), TimeRemainingColumn())
    found = []
    with processes.terminable(), tempfile.TemporaryDirectory(prefix="steelyard-ladder-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx's workers are not root, and read the answers from here
        with (
            balancers.backends(directory, ",".join(map(str, cores))) as ports,
            Progress(*columns, console=console, refresh_per_second=1) as progress,
        ):
            stage = rounds.Stage((), tuple(ports), directory, *cores, number, seconds)
            task = progress.add_task("the ladder", total=len(steps))
            measuring = cells.measure(stage, steps)
            for _, many, rung in steps:
                progress.update(task, description=f"{TITLES[rung]}, {many:,} connections")
                found.append(next(measuring))
                progress.advance(task)
    return Ladder(started, machine.facts(), versions, {"rounds": number, "seconds": seconds}, found)
