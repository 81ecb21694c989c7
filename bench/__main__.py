"""`python -m bench`: measure all, show the table, write JSON and picture. docs/bench.md says what the figures mean.

Ends with 0 when everything was measured, whatever the figures are; with 1 when it could not be; with 130 on Ctrl-C.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench import (
    balancers,
    idle,
    lifecycle,
    local_pool,
    machine,
    picks,
    picture,
    processes,
    results,
    rounds,
    scaling,
    slow,
    summary,
    table,
    tcp,
    udp,
)
from bench.failure import BenchError
from bench.ladder import page as ladder_page
from bench.ladder.page import Ladder
from bench.ladder.run import run_quick
from bench.results import Results
from bench.rounds import Stage
from bench.workload import IDLE_CLIENTS

DIRECTORY = Path(__file__).parent / "results"
KNOWN = {balancer.name: balancer for balancer in (*balancers.BALANCERS, balancers.FLOOR)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run, or show again, as the command line says; gives the exit status."""
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        if arguments.show is not None:
            measured = results.read(arguments.show)
            beside = arguments.show.with_name(ladder_page.FILE)
            ladder = ladder_page.read(beside) if beside.exists() else None
        else:
            cores = machine.two_cores()
            measured = _measure(arguments, cores, console)
            _keep(measured, arguments.output, console)
            ladder = _climb(arguments, cores, console)
    except BenchError as error:
        console.print(f"bench: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("bench: interrupted; every process it started has ended")
        return 130
    _show(measured, arguments.markdown)
    if ladder is not None:
        ladder_page.show(ladder, arguments.markdown)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=_positive, default=5, help="rounds of all measurements (default 5)")
    parser.add_argument("--seconds", type=_positive, default=3, help="length of one measurement (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s: does it work; not figures to quote")
    parser.add_argument("--balancers", default=",".join(KNOWN), help=f"which to compare (default {','.join(KNOWN)})")
    parser.add_argument("--output", type=Path, default=DIRECTORY, help="where latest.json and latest.png go")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    latest = DIRECTORY / "latest.json"
    parser.add_argument("--show", type=Path, nargs="?", const=latest, help="measure nothing: show FILE again")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _measure(arguments: argparse.Namespace, cores: tuple[int, int], console: Console) -> Results:
    unknown = set(arguments.balancers.split(",")) - set(KNOWN)
    if unknown:
        raise BenchError(f"unknown balancer {min(unknown)!r}; known: {', '.join(KNOWN)}")
    chosen = tuple(KNOWN[name] for name in arguments.balancers.split(","))
    if balancers.FLOOR in chosen and shutil.which("gcc") is None:
        console.print("no floor: it needs gcc")
        chosen = tuple(balancer for balancer in chosen if balancer is not balancers.FLOOR)
    machine.check_programs()
    idle.raise_descriptor_limit(max(IDLE_CLIENTS, 2 * tcp.can_hold()))
    balancer_core, load_core = cores
    started = datetime.now(UTC).isoformat(timespec="seconds")
    versions = machine.versions(chosen)
    seconds = 1 if arguments.quick else arguments.seconds
    number = 1 if arguments.quick else arguments.rounds
    # Our own work, the progress bar's say, belongs to the load's core.
    os.sched_setaffinity(0, {load_core})
    with processes.terminable(), tempfile.TemporaryDirectory(prefix="steelyard-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx's workers are not root, and read the answers from here
        if balancers.FLOOR in chosen:
            balancers.build_floor(directory)
        with balancers.backends(directory, load_core) as ports:
            stage = Stage(chosen, tuple(ports), directory, balancer_core, load_core, number, seconds)
            settings = {"rounds": number, "seconds": seconds}
            found = Results(started, machine.facts(), versions, settings)
            _run(stage, found, console)
    return found


def _run(stage: Stage, found: Results, console: Console) -> None:
    """Measure all."""
    steps = rounds.plan(stage)
    estimate_s = rounds.planned_s(steps, stage.seconds)
    console.print(f"{len(steps)} measurements in {stage.rounds} rounds: about {estimate_s / 60:.1f} minutes.")
    percent = TextColumn("{task.percentage:3.0f} %")
    columns = (TextColumn("{task.description:40}"), BarColumn(), percent, TimeRemainingColumn())
    with Progress(*columns, console=console, refresh_per_second=1) as progress:
        compared = idle.compared(stage)
        slow_rounds = min(stage.rounds, slow.ROUNDS)
        udp_rounds = min(stage.rounds, udp.ROUNDS)
        more = 2 * stage.rounds + 1 + slow.count(slow_rounds) + udp.count(udp_rounds)
        more = more + tcp.count(stage.rounds) + 1 if scaling.measured(stage) else 0
        task = progress.add_task("start", total=len(steps) + len(compared) + picks.count() + more)
        measuring = rounds.measure(stage, steps)
        for number, case, balancer in steps:
            progress.update(task, description=f"round {number}: {case.title}, {balancer.name}")
            found.samples.append(next(measuring))
            progress.advance(task)
        for balancer in compared:
            progress.update(task, description=f"idle clients, {balancer.name}")
            found.idle.append(idle.measure(stage, balancer, IDLE_CLIENTS))
            progress.advance(task)
        progress.update(task, description="what choosing costs")
        for cost in picks.measure(stage.rounds):
            found.picks.append(cost)
            progress.update(task, description=f"choosing, {cost.policy} among {cost.backends:,}", advance=1)
        if scaling.measured(stage):
            for sample in scaling.measure(stage):
                found.scaling.append(sample)
                progress.update(task, description=f"round {sample.round}: {sample.workers} workers", advance=1)
            progress.update(task, description="starting, reloading and resting")
            found.lifecycle.extend(lifecycle.measure(stage))
            cores = stage.balancer_core, stage.load_core
            progress.update(task, description="tiny tasks through LocalPool")
            found.lifecycle.append(local_pool.figure(stage.rounds, cores))
            progress.advance(task)
            for one in slow.measure(stage.directory, *cores, slow_rounds, stage.seconds):
                found.slow.append(one)
                progress.update(task, description=f"round {one.round}: {slow.KINDS[one.kind]}", advance=1)
            for sent in udp.measure(stage.directory, *cores, udp_rounds):
                found.udp.append(sent)
                what = f"round {sent.round}: datagrams, {sent.rate:,} a second, {sent.balancer}"
                progress.update(task, description=what, advance=1)
            for passed in tcp.measure(stage.directory, *cores, stage.rounds, stage.seconds):
                found.tcp.append(passed)
                what = f"round {passed.round}: TCP, {tcp.TITLES[passed.case]}, {passed.balancer}"
                progress.update(task, description=what, advance=1)
            progress.update(task, description="held TCP connections")
            found.held.extend(tcp.hold(stage.directory, *cores))
            progress.advance(task)


def _keep(measured: Results, directory: Path, console: Console) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    results.write(measured, directory / "latest.json")
    drawn = picture.draw(summary.rows(measured.samples), "\n".join(measured.notes()), directory / "latest.png")
    console.print(f"written: {directory / 'latest.json'}" + (f", {directory / 'latest.png'}" if drawn else ""))
    if not drawn:
        console.print("no picture: it needs matplotlib (pip install 'steelyard[bench]')", markup=False)


def _climb(arguments: argparse.Namespace, cores: tuple[int, int], console: Console) -> Ladder | None:
    """The ladder, in its quick form; it is there to be compared with Steelyard."""
    if "steelyard" not in arguments.balancers.split(","):
        return None
    ladder = run_quick(cores, console)
    ladder_page.write(ladder, arguments.output / ladder_page.FILE)
    console.print(f"written: {arguments.output / ladder_page.FILE}")
    return ladder


def _show(measured: Results, as_markdown: bool) -> None:
    if as_markdown:
        print(table.markdown(measured))
        return
    # Wide enough for whole lines also where there is no terminal, as in a CI log.
    console = Console(width=None if sys.stdout.isatty() else 160)
    for one in table.terminal(measured):
        console.print(one)
    for note in measured.notes():
        console.print(note, style="dim", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
