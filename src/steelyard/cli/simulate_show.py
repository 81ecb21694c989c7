"""How `steelyard simulate` shows its results: a bar while it is at work, then tables."""

import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from time import monotonic
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from steelyard.simulate.report import Outcome
from steelyard.simulate.scenario import Scenario, Server, Trouble

BAR_AFTER_S: Final = 1.0  # what is done sooner needs no bar
WIDTH: Final = 150  # of a table that nobody's window bounds
BACKENDS_LISTED: Final = 16


class Bar:
    """Shows how far the simulation is, on standard error, if that is a terminal and it takes more than a second."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.began = monotonic()
        self.progress: Progress | None = None
        self.console = Console(stderr=True)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress is not None:
            self.progress.stop()

    def begin(self, policy: str) -> Callable[[int], None]:
        """One policy's run begins; returns what is to be told how many of its requests have arrived."""
        task = None

        def advance(done: int) -> None:
            nonlocal task
            if not self.console.is_terminal or monotonic() < self.began + BAR_AFTER_S:
                return
            if self.progress is None:
                columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
                self.progress = Progress(*columns, console=self.console, transient=True)
                self.progress.start()
            if task is None:
                task = self.progress.add_task(policy, total=self.requests)
            self.progress.update(task, completed=done)

        return advance


def title(scenario: Scenario) -> str:
    """What was simulated, in a line."""
    count = len(scenario.servers)
    parts = [
        f"{count} backend{'s' if count > 1 else ''}",
        "the trace's own load" if scenario.load is None else f"load {scenario.load:g}",
        f"{scenario.requests:,} requests",
        f"{scenario.arrivals} arrivals, {scenario.service.kind} service",
    ]
    if scenario.workers > 1:
        parts.append(f"{scenario.workers} workers with {'a shared view' if scenario.shared_view else 'separate views'}")
    return ", ".join(parts) + f" (seed {scenario.seed})"


def show(scenario: Scenario, outcomes: Sequence[Outcome]) -> None:
    """Print the tables to standard output; what its encoding has not is written as an escape."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=WIDTH)
    console.print(Text(title(scenario), style="bold"))
    dash = "-" if console.options.ascii_only else "–"  # noqa: RUF001 - a range
    console.print(_figures(outcomes, dash))
    if len(scenario.servers) <= BACKENDS_LISTED:
        console.print(_shares(scenario, outcomes))
    console.print(
        "[dim]Times are in mean service times, of requests that were served well; the longest queue counts those in "
        "service too. Of each column of times the best is bold.[/dim]"
    )


def _figures(outcomes: Sequence[Outcome], dash: str = "-") -> Table:
    table = Table(header_style="bold")
    table.add_column("policy", overflow="fold")
    names = ("mean", "p50", "p90", "p99", "p99.9", "longest\nqueue", "shares, %", "retries", "failed", "refused")
    for name in (*names, "ejec-\ntions"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("simulated\na second", justify="right", style="dim", no_wrap=True)
    times = [(one.mean, one.p50, one.p90, one.p99, one.p999) for one in outcomes]
    best = [min((time for time in column if time is not None), default=None) for column in zip(*times, strict=True)]
    for one, row in zip(outcomes, times, strict=True):
        table.add_row(
            one.policy,
            *[
                Text("-")  # nobody was served
                if time is None
                else Text(f"{time:.3f}", style="bold green" if time == least and len(outcomes) > 1 else "")
                for time, least in zip(row, best, strict=True)
            ],
            str(one.max_queue),
            f"{100 * min(one.shares):.2f}{dash}{100 * max(one.shares):.2f}",
            *[f"{count:,}" for count in (one.retries, one.failed, one.refused, one.ejections)],
            f"{one.per_s:,.0f}",
        )
    return table


def _shares(scenario: Scenario, outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="Each backend's share of the tries, %", title_justify="left", header_style="bold")
    table.add_column("backend", justify="right")
    for one in outcomes:
        table.add_column(one.policy, justify="right")
    table.add_column("", style="dim")
    for index, server in enumerate(scenario.servers):
        about = [_described(server), *[_trouble(trouble) for trouble in scenario.troubles if index in trouble.servers]]
        table.add_row(
            str(index + 1), *[f"{100 * one.shares[index]:.2f}" for one in outcomes], ", ".join(filter(None, about))
        )
    return table


def _described(server: Server) -> str:
    usual = Server()
    parts = []
    if server.speed != usual.speed:
        parts.append(f"speed {server.speed:g}")
    if server.concurrency != usual.concurrency:
        parts.append(f"{server.concurrency} at a time")
    if server.weight != usual.weight:
        parts.append(f"weight {server.weight}")
    if server.max_connections is not None:
        parts.append(f"at most {server.max_connections}")
    return ", ".join(parts)


def _trouble(trouble: Trouble) -> str:
    what = {
        "slow": f"{trouble.value:g}x slower",
        "fail": f"{trouble.value:.0%} fail",
        "fast_fail": f"{trouble.value:.0%} fail at once",
        "down": "down",
    }[trouble.kind]
    if trouble.start == 0.0 and trouble.end == float("inf"):
        return what
    return f"{what} from {trouble.start:g}" + ("" if trouble.end == float("inf") else f" to {trouble.end:g}")
