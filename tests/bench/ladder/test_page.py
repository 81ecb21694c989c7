"""Tables say what was measured, and docs/ladder.md says what the last full run did: nobody types a figure into it."""

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.failure import BenchError
from bench.ladder import page
from bench.ladder.__main__ import DOCS, write_docs
from bench.ladder.cells import CONNECTIONS, TITLES, Cell
from bench.ladder.page import END, FILE, START, Ladder, lines, step_lines, with_figures

MIB = 1024 * 1024
CELLS = [
    Cell(1, "thread-each", 1000, 0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.6, 0.01, 100 * MIB, 12, 345),
    Cell(1, "thread-pool", 1000, 9000, 3000.0, 50_000.0, 90_000.0, 40.0, 0.5, 0.6, 0.3, 32 * MIB, 0, 0),
    Cell(1, "one-loop", 1000, 18000, 6000.0, 30_500.0, 45_000.0, 20.04, 0.5, 0.8, 0.02, 24 * MIB, 0, 0),
]
MACHINE: dict[str, str | int] = {
    "cpu": "a CPU",
    "cores": 2,
    "virtual": "yes",
    "memory_mib": 1,
    "kernel": "6.1",
    "python": "3.11",
}
LADDER = Ladder("2026-11-27T20:00:00+00:00", MACHINE, {"wrk": "4.1"}, {"rounds": 1, "seconds": 3}, CELLS)


def test_a_line_has_the_figures_of_its_rung() -> None:
    expected = ("1,000", "one epoll loop", "6,000", "30.50", "45.00", "20.0", "0.50", "0.80", "0.02", "24.0", "0", "0")
    assert expected == lines(CELLS)[2]


def test_who_answered_nobody_has_no_latency_but_errors() -> None:
    expected = (
        "1,000",
        "a thread a connection",
        "0",
        "none",
        "none",
        "none",
        "0.90",
        "0.60",
        "0.01",
        "100.0",
        "12",
        "345",
    )
    assert expected == lines(CELLS)[0]


def test_a_step_is_what_the_upper_rung_has_over_the_lower_one() -> None:
    assert [
        ("a thread a connection → a thread pool", "1,000", "", "", "", "0.32"),
        ("a thread pool → one epoll loop", "1,000", "2.00", "0.50", "0.50", "0.75"),
    ] == step_lines(CELLS)


def test_the_terminal_and_markdown_say_the_same() -> None:
    output = StringIO()
    console = Console(width=200, file=output)
    for table in page.terminal(CELLS):
        console.print(table)
    shown, written = output.getvalue(), page.markdown(LADDER)
    for line in (*lines(CELLS), *step_lines(CELLS)):
        assert f"| {' | '.join(line)} |" in written
        assert all(word in shown for word in line)
    assert "virtual machine" in written


def test_a_file_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    page.write(LADDER, tmp_path / "new" / FILE)
    assert LADDER == page.read(tmp_path / "new" / FILE)


@pytest.mark.parametrize("content", [None, "no JSON", "[]", '{"format": 0}'])
def test_a_file_that_is_none_is_an_error_with_the_mend(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(BenchError, match="make ladder"):
        page.read(tmp_path / FILE)


def test_figures_replace_those_that_were_there_and_nothing_else() -> None:
    text = f"before\n{START}\nold\n{END}\nafter\n"
    once = with_figures(text, LADDER)
    assert "old" not in once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert once == with_figures(once, LADDER)
    with pytest.raises(BenchError, match="no place for the figures"):
        with_figures("no marks", LADDER)


def test_the_page_and_the_picture_are_written_together(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "ladder.md").write_text(f"{START}\n{END}\n", encoding="utf-8")
    write_docs(LADDER, tmp_path)
    assert "| one epoll loop | 6,000 |" in (tmp_path / "ladder.md").read_text(encoding="utf-8")
    assert (tmp_path / "images" / "ladder.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert LADDER == page.read(tmp_path / FILE)


def test_the_figures_in_the_documentation_are_those_of_its_file() -> None:
    """Else: `python -m bench.ladder --show docs/ladder.json --docs`."""
    text = (DOCS / "ladder.md").read_text(encoding="utf-8")
    kept = page.read(DOCS / FILE)
    assert text == with_figures(text, kept)
    assert {(many, rung) for many in CONNECTIONS for rung in TITLES} == {
        (cell.connections, cell.rung) for cell in kept.cells
    }


def test_what_is_typed_into_the_page_names_no_figure_of_a_run() -> None:
    text = (DOCS / "ladder.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    typed = before + rest.partition(END)[2]
    assert not re.search(r"(?<!HTTP/)\b\d+[.,]\d|\d+ (?:ms|MiB|µs|requests)|\d %", typed)


def test_rounds_are_said_where_there_are_several() -> None:
    assert "one round of 3 s" in LADDER.notes()[0]
    assert "medians of 2 rounds of 3 s" in replace(LADDER, settings={"rounds": 2, "seconds": 3}).notes()[0]


def test_a_machine_that_was_not_quiet_is_said_to_have_been_so() -> None:
    assert "used up to 0.30 of its cores" in LADDER.notes()[-1]
    assert 2 == len(replace(LADDER, cells=CELLS[2:]).notes())
