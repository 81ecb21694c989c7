"""`python -m tests.soak`: random clients, faults and reloads against real processes, and checks of all that is left.

Ends with 0 when every check holds, with 1 when one does not, and says then what to look at; with 130 on Ctrl-C. The
seed repeats what is chosen, not the order in which a machine does it.
"""

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from steelyard.observe.counters import EVENTS
from tests.soak.checks import Check
from tests.soak.run import Soaked, soak
from tests.soak.tally import ANSWERED, CUT, LEFT, LOST, Tally


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True)
    seed = random.randrange(1_000_000) if arguments.seed is None else arguments.seed
    console.print(f"soak: seed {seed}", highlight=False)
    logging.getLogger("steelyard").setLevel(logging.CRITICAL)  # what the faults make it say is not worth reading here
    home = Path(tempfile.mkdtemp(prefix="steelyard-soak-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            soaked = runner.run(_soak(arguments.minutes * 60, seed, home, console))
    except KeyboardInterrupt:
        shutil.rmtree(home)
        console.print("soak: interrupted; every process it started has ended")
        return 130
    _show(soaked, console)
    if all(check.holds for check in soaked.checks):
        shutil.rmtree(home)
        return 0
    for check in soaked.checks:
        if not check.holds:
            console.print(f"{check.what}: {check.look}", style="red", markup=False, highlight=False)
    console.print(
        f"soak: the access log and the configuration are in {home}; again with --seed {seed}", highlight=False
    )
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long in all (default 5)")
    parser.add_argument("--seed", type=int, default=None, help="of all that is chosen (default: another every time)")
    return parser


async def _soak(seconds: float, seed: int, home: Path, console: Console) -> Soaked:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[how]}"))
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("soak", total=seconds, how="")
        loop = asyncio.get_running_loop()
        began = loop.time()

        def say(what: str, left: float, tally: Tally) -> None:
            how = f"{len(tally.requests):,} requests, {tally.reloads} reloads"
            progress.update(task, description=what, completed=loop.time() - began, how=how)

        return await soak(seconds, seed, home, say)


def _show(soaked: Soaked, console: Console) -> None:
    tally = soaked.tally
    done = Table("what was done", "", title_justify="left")
    done.add_row("sessions", _counted(tally.sessions))
    outcomes = ", ".join(f"{name} {tally.count(name):,}" for name in (ANSWERED, CUT, LOST, LEFT))
    done.add_row("requests", f"{len(tally.requests):,}: {outcomes}")
    done.add_row("statuses", _counted(Counter({str(status): count for status, count in tally.statuses.items()})))
    done.add_row("in the log", f"{_counted(soaked.words)}; with several tries {soaked.retried:,}")
    events = Counter({name: soaked.counters.get(name, 0) for name in EVENTS})
    done.add_row("on the way", _counted(events))
    done.add_row("backends were", _counted(Counter(soaked.said)))
    done.add_row("received", f"{tally.bytes_received:,} bytes in answers, {tally.tunnelled:,} through tunnels")
    done.add_row("faults", _counted(Counter(soaked.met)))
    done.add_row("reloads", str(tally.reloads))
    console.print(done)
    checks = Table("check", "holds", "figures")
    for check in soaked.checks:
        checks.add_row(check.what, _verdict(check), check.figures)
    console.print(checks)


def _verdict(check: Check) -> str:
    return "[green]yes[/green]" if check.holds else "[red]NO[/red]"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
