"""`python -m tests.fuzz`: fuzz every parser that strangers reach, then run their property tests with many examples.

Ends with 0 when nothing was found; with 1 when something was: its minimised input is in tests/corpus then, where an
ordinary test replays it, and the command that replays it alone is printed; with 2 when it could not run; with 130 on
Ctrl-C.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.fuzz import processes
from tests.fuzz.corpus import CORPUS, keep, minimised
from tests.fuzz.processes import Fuzzed
from tests.fuzz.targets import TARGETS
from tools.compile import ROOT, compile_for_fuzzing

# Of the time; the rest is for the property tests.
FUZZERS_SHARE: Final = 0.7
FIRST_EXAMPLES: Final = 100
# Every try is a process of its own, a second each: only what kills the process is minimised so.
TRIES_IN_PROCESSES: Final = 60


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        if compile_for_fuzzing() != 0:
            return 2
        if arguments.replay:
            return _replay(arguments.replay, console)
        if processes.runtime() is None:
            console.print(
                "fuzz: atheris is not installed here: make fuzz, on Linux with Python 3.11 to 3.13", style="red"
            )
            return 2
        return _run(arguments, console)
    except KeyboardInterrupt:
        console.print("fuzz: interrupted; what was worth keeping is in build/fuzz/corpus")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long in all (default 10)")
    parser.add_argument("--target", action="append", choices=TARGETS, help="fuzz this one alone (again for more)")
    parser.add_argument("--seed", type=int, default=None, help="of the fuzzers (default: another every time)")
    parser.add_argument("--keep", action="store_true", help="add to tests/corpus what reaches lines that it does not")
    parser.add_argument(
        "--replay", type=Path, nargs="+", metavar="FILE", help="only hold these inputs to the properties"
    )
    return parser


def _run(arguments: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    seconds = arguments.minutes * 60
    seed = random.randrange(1, 2**31) if arguments.seed is None else arguments.seed
    targets = [TARGETS[name] for name in arguments.target or TARGETS]
    console.print(f"fuzz: seed {seed}", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[how]}"))
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("fuzz", total=seconds, how="")
        share = 1.0 if arguments.target else FUZZERS_SHARE
        results = []
        for target in targets:
            part = max(1, round(seconds * share * target.weight / sum(target.weight for target in targets)))
            for fuzzed in processes.fuzz(target.name, part, seed):
                how = f"{fuzzed.runs} inputs, {fuzzed.branches} branches"
                progress.update(task, description=target.name, completed=time.monotonic() - began, how=how)
            results.append(fuzzed)
            progress.update(task, completed=time.monotonic() - began)
        _show(results, console)
        if arguments.keep:
            _keep(results, console)
        failed = [fuzzed for fuzzed in results if fuzzed.status != 0]
        for fuzzed in failed:
            _report(fuzzed, console)
        if arguments.target is None:
            progress.update(task, description="properties", how="")
            if not _properties(began + seconds, console):
                return 1
    return 1 if failed else 0


def _show(results: Sequence[Fuzzed], console: Console) -> None:
    table = Table("target", "inputs", "branches", "corpus", "found")
    for fuzzed in results:
        found = "-" if fuzzed.status == 0 else "a failure"
        table.add_row(fuzzed.name, f"{fuzzed.runs:,}", str(fuzzed.branches), str(fuzzed.kept), found)
    console.print(table)


def _report(fuzzed: Fuzzed, console: Console) -> None:
    """Say what was found, and keep the smallest input that shows it."""
    console.print(fuzzed.said, markup=False, highlight=False, soft_wrap=True)
    if fuzzed.found is None:
        console.print(f"fuzz: {fuzzed.name} ended with {fuzzed.status}, and wrote no input", style="red")
        return
    data = _minimised(fuzzed.name, fuzzed.found)
    path = keep(fuzzed.name, "found", data)
    console.print(f"fuzz: {fuzzed.name} found {data!r}", style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(f"  kept as {path.relative_to(ROOT)}; to see it fail again:", highlight=False)
    console.print(
        f"  {sys.executable} -m tests.fuzz --replay {path.relative_to(ROOT)}", highlight=False, soft_wrap=True
    )


def _minimised(name: str, found: Path) -> bytes:
    data = found.read_bytes()
    ran = processes.again("minimise", name, [found])
    if ran.returncode == 0:
        return bytes.fromhex(ran.stdout.strip())
    attempt = found.with_suffix(".try")

    def dies(data: bytes) -> bool:
        attempt.write_bytes(data)
        return processes.again("replay", name, [attempt]).returncode not in (0, 1)

    return minimised(data, dies, TRIES_IN_PROCESSES)


def _keep(results: Sequence[Fuzzed], console: Console) -> None:
    for fuzzed in results:
        grown = sorted((processes.GROWN / fuzzed.name).iterdir())
        ran = processes.again("kept", fuzzed.name, grown, sanitized=False)
        for word in ran.stdout.split():
            keep(fuzzed.name, "kept", bytes.fromhex(word))
        console.print(f"fuzz: {fuzzed.name}: {len(ran.stdout.split())} inputs kept of {len(grown)}", highlight=False)


def _properties(deadline: float, console: Console) -> bool:
    """The property tests: a short round to see how long it takes, then one that fills the time. Whether they hold."""
    examples = FIRST_EXAMPLES
    while True:
        began = time.monotonic()
        status, said = processes.properties(examples, max(60.0, deadline - began))
        took = time.monotonic() - began
        verdict = {0: "hold", None: "hold so far (out of time)"}.get(status, "do not hold")
        console.print(f"properties with {examples} examples each {verdict}, {took:.0f} s", highlight=False)
        if status not in (0, None):
            console.print(said, markup=False, highlight=False, soft_wrap=True)
            console.print("fuzz: Hypothesis remembers the example: the same test fails again with pytest", style="red")
            return False
        left = deadline - time.monotonic()
        if status is None or left < 2 * took:
            return True
        # Some of the time of a round is spent on what does not grow: so it ends early rather than late.
        examples = int(examples * left / took)


def _replay(files: Sequence[Path], console: Console) -> int:
    worst = 0
    for file in files:
        name = file.resolve().parent.name
        if name not in TARGETS:
            console.print(f"fuzz: {file} does not lie in {CORPUS.relative_to(ROOT)}/TARGET", style="red")
            return 2
        ran = processes.again("replay", name, [file.resolve()])
        print(ran.stdout, ran.stderr, sep="")
        worst = max(worst, int(ran.returncode != 0))
    return worst


if __name__ == "__main__":
    sys.exit(main())
