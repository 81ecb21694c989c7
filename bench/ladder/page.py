"""The ladder's results: as a file, as tables for the terminal, and as the figures in docs/ladder.md."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.failure import BenchError
from bench.ladder.cells import STEPS, TITLES, Cell, medians
from bench.table import markdown_table, rich_table, significant

FORMAT: Final = 1
# Of the two cores: the kernel's own work, and the 10 ms ticks that it is measured in.
QUIET: Final = 0.1
FILE: Final = "ladder.json"
MIB: Final = 1024 * 1024
START: Final = "<!-- ladder:start: what follows is written by `make ladder` -->"
END: Final = "<!-- ladder:end -->"
HEADINGS: Final = (
    "clients",
    "balancer",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "CPU µs/request",
    "cores",
    "others",
    "foreign",
    "memory MiB",
    "errors",
    "unanswered",
)
STEP_HEADINGS: Final = ("what", "clients", "x requests/s", "x p99", "x CPU", "x memory")


@dataclass(frozen=True, slots=True)
class Ladder:
    """One run. started: ISO 8601, UTC. machine, versions: see bench/machine.py. settings: rounds, seconds."""

    started: str
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    settings: Mapping[str, int]
    cells: Sequence[Cell]

    def notes(self) -> list[str]:
        """What a reader must know beside the figures."""
        machine, settings = self.machine, self.settings
        kind = "virtual machine, " if machine["virtual"] == "yes" else ""
        rounds = "one round" if settings["rounds"] == 1 else f"medians of {settings['rounds']} rounds"
        notes = [
            f"{self.started[:10]}, {machine['cpu']}, {kind}Linux {machine['kernel']}, Python {machine['python']}, two "
            f"cores for all: balancer, backends and load generator; {rounds} of {settings['seconds']} s.",
            ", ".join(f"{name} {version}" for name, version in self.versions.items()) + ".",
        ]
        foreign = max((cell.foreign for cell in self.cells), default=0.0)
        if foreign > QUIET:
            notes.append(
                f"The machine was not quiet: others than these programs used up to {foreign:.2f} of its cores."
            )
        return notes


def write(ladder: Ladder, path: Path) -> None:
    """Write the JSON file, with its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": FORMAT, **asdict(ladder)}, indent=1) + "\n")


def read(path: Path) -> Ladder:
    """Read one back. Raises BenchError when there is none, or when another version wrote it."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise BenchError(f"no results can be read from {path}: {exc}; run `make ladder` first") from exc
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise BenchError(f"{path} is not a file of the ladder in format {FORMAT}; run `make ladder` again")
    return Ladder(**{**content, "cells": [Cell(**cell) for cell in content["cells"]]})


def lines(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """The figures as text, a tuple of HEADINGS' length for each rung and number of connections."""
    return [
        (
            f"{cell.connections:,}",
            TITLES[cell.rung],
            f"{cell.requests_per_s:,.0f}",
            f"{cell.p50_us / 1000:.2f}" if cell.requests else "none",
            f"{cell.p99_us / 1000:.2f}" if cell.requests else "none",
            significant(cell.cpu_us) if cell.requests else "none",
            f"{cell.cores:.2f}",
            f"{cell.others:.2f}",
            f"{cell.foreign:.2f}",
            f"{cell.memory_bytes / MIB:.1f}",
            f"{cell.errors:,}",
            f"{cell.unanswered:,}",
        )
        for cell in medians(cells)
    ]


def step_lines(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """What each step changes, as text, a tuple of STEP_HEADINGS' length each."""
    found = {(cell.rung, cell.connections): cell for cell in medians(cells)}
    table = []
    for lower, upper in STEPS:
        for connections in sorted({connections for _, connections in found}):
            before, after = found.get((lower, connections)), found.get((upper, connections))
            if before is not None and after is not None:
                title = f"{TITLES[lower]} → {TITLES[upper]}"
                names = ("requests_per_s", "p99_us", "cpu_us", "memory_bytes")
                changes = [_times(getattr(before, name), getattr(after, name)) for name in names]
                table.append((title, f"{connections:,}", *changes))
    return table


def _times(before: float, after: float) -> str:
    return f"{after / before:.2f}" if before and after else ""


def terminal(cells: Sequence[Cell]) -> list[Table]:
    """Both tables for rich."""
    figures = lines(cells)
    table = rich_table("The ladder: the same work under four models, and Steelyard", HEADINGS, figures)
    for row, (line, following) in enumerate(pairwise(figures)):
        table.rows[row].end_section = line[0] != following[0]
    return [table, rich_table("What each step changes", STEP_HEADINGS, step_lines(cells))]


def show(ladder: Ladder, as_markdown: bool) -> None:
    """All of it, on standard output."""
    if as_markdown:
        print(markdown(ladder))
        return
    # Wide enough for whole lines also where there is no terminal, as in a CI log.
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in terminal(ladder.cells):
        console.print(table)
    for note in ladder.notes():
        console.print(note, style="dim", highlight=False)


def markdown(ladder: Ladder) -> str:
    """All of it that docs/ladder.md shows."""
    tables = (markdown_table(HEADINGS, lines(ladder.cells)), markdown_table(STEP_HEADINGS, step_lines(ladder.cells)))
    return "\n\n".join([tables[0], "  \n".join(ladder.notes()), "What each step changes:", tables[1]])


def with_figures(page: str, ladder: Ladder) -> str:
    """The page with these figures in place of those between its marks. Raises BenchError where it has none."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise BenchError(f"the page has no place for the figures: put {START!r} and {END!r} into it")
    return f"{before}{START}\n\n{markdown(ladder)}\n\n{END}{after}"
