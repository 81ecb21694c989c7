"""The demo's last act: every request as it happens, a line each.

Records come in the event loop and are printed in batches off it; a flood (somebody points wrk at the demo) is
summed up, since a terminal shows some hundred lines a second and a balancer passes some ten thousand requests.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from steelyard.observe.accesslog import Record

PRINT_S: Final = 0.1
LINES_A_BATCH: Final = 20
PATH_WIDTH: Final = 18
HEAD: Final = (
    f"{'time':8}  {'client':11}  {'method':6}  {'path':{PATH_WIDTH}}  {'backend':14}  {'status':>6}  {'ms':>7}"
)


class Watch:
    """Collects records and prints them. server_of: `host:port` of a backend -> (its name, the colour it has)."""

    def __init__(self, console: Console, server_of: Callable[[str], tuple[str, str]]) -> None:
        self.console = console
        self.server_of = server_of
        self.showing = False
        self._waiting: list[tuple[datetime, Record]] = []

    def add(self, record: Record) -> None:
        """Take in a record, if they are being shown: `on_record` of the balancer."""
        if self.showing:
            self._waiting.append((datetime.now(UTC), record))

    async def show(self) -> None:
        """Print what comes until cancelled."""
        self.console.print(HEAD, style="bold", soft_wrap=True)
        self.showing = True
        try:
            while True:
                await asyncio.sleep(PRINT_S)
                self.flush()
        finally:
            self.showing = False
            self.flush()

    def flush(self) -> None:
        """Print what has come since the last time."""
        waiting, self._waiting = self._waiting, []
        for ended, record in waiting[:LINES_A_BATCH]:
            self.console.print(self.line(ended, record), soft_wrap=True)
        if more := waiting[LINES_A_BATCH:]:
            shares = Counter(self.server_of(record.backend)[0] for _, record in more)
            told = ", ".join(f"{name} {count:,}" for name, count in sorted(shares.items()))
            self.console.print(f"          and {len(more):,} more: {told}", style="dim", soft_wrap=True)

    def line(self, ended: datetime, record: Record) -> Text:
        """One request: when, who, what, and who answered it how and how soon."""
        name, colour = self.server_of(record.backend)
        path = record.target if len(record.target) <= PATH_WIDTH else record.target[: PATH_WIDTH - 1] + "…"
        line = Text(f"{ended.astimezone():%H:%M:%S}  {record.client:11}  {record.method:6}  {path:{PATH_WIDTH}}  ")
        line.append(f"{name:14}", colour)
        line.append(f"  {record.status:6}", "green" if 200 <= record.status < 400 else "red")
        line.append(f"  {record.duration_s * 1000:7.1f}")
        if record.tries > 1:
            line.append(f"  after {record.tries} tries", "dim")
        if record.word != "-":
            line.append(f"  {record.word}", "red")
        return line
