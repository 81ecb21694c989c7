"""Requests as they come: a line each, and a flood is summed up."""

import asyncio
from datetime import UTC, datetime
from io import StringIO
from itertools import pairwise

from rich.console import Console

from steelyard.cli.demo_watch import HEAD, LINES_A_BATCH, Watch
from steelyard.observe.accesslog import Record

RECORD = Record(
    ended=7.0,
    client="127.0.0.1",
    listener="web",
    method="GET",
    host="localhost",
    target="/",
    status=200,
    word="-",
    pool="web",
    backend="h:1",
    tries=1,
    duration_s=0.00123,
    received=0,
    sent=8,
)


class Stage:
    def __init__(self) -> None:
        self.file = StringIO()
        self.watch = Watch(Console(file=self.file, width=60), lambda address: (f"Server {address[-1]}", "cyan"))
        self.watch.showing = True

    def show(self, *records: Record) -> list[str]:
        for record in records:
            self.watch.add(record)
        self.watch.flush()
        return self.file.getvalue().splitlines()


def test_a_line_stands_under_the_head_and_has_everything() -> None:
    (line,) = Stage().show(RECORD)
    columns = [HEAD.index(name) for name in ("time", "client", "method", "path", "backend")]
    starts = [*columns, None]
    parts = [line[start:end].strip() for start, end in pairwise(starts)]
    assert ["127.0.0.1", "GET", "/"] == parts[1:4]
    assert ["Server", "1", "200", "1.2"] == parts[4].split()
    assert len(HEAD) == len(line), "numbers end where their heads do"


def test_the_time_is_that_of_this_place() -> None:
    ended = datetime(2026, 7, 1, 12, 30, 15, tzinfo=UTC)
    assert Stage().watch.line(ended, RECORD).plain.startswith(f"{ended.astimezone():%H:%M:%S}  ")


def test_what_was_unusual_is_at_the_end() -> None:
    lines = Stage().show(RECORD._replace(tries=2), RECORD._replace(status=503, tries=3, word="none_up"))
    assert lines[0].endswith("1.2  after 2 tries")
    assert lines[1].endswith("503      1.2  after 3 tries  none_up")


def test_a_long_path_is_cut_and_markup_in_it_means_nothing() -> None:
    first, second = Stage().show(RECORD._replace(target="/" + "x" * 50), RECORD._replace(target="/[red]a[/red]"))
    assert f"  /{'x' * 16}…  Server 1" in first
    assert "  /[red]a[/red]  " in second


def test_a_flood_is_summed_up() -> None:
    records = [RECORD._replace(backend=f"h:{number % 3 + 1}") for number in range(LINES_A_BATCH + 3001)]
    lines = Stage().show(*records)
    assert LINES_A_BATCH + 1 == len(lines)
    assert "and 3,001 more: Server 1 1,000, Server 2 1,000, Server 3 1,001" == lines[-1].strip()


async def test_before_it_shows_nothing_is_kept_and_at_the_end_nothing_is_lost() -> None:
    stage = Stage()
    stage.watch.showing = False
    stage.watch.add(RECORD._replace(target="/early"))
    async with asyncio.TaskGroup() as tasks:
        showing = tasks.create_task(stage.watch.show())
        await asyncio.sleep(0)
        stage.watch.add(RECORD._replace(target="/late"))
        showing.cancel()
    head, line = stage.file.getvalue().splitlines()
    assert HEAD == head
    assert "/late" in line
