"""`python -m bench.ladder`: measure the ladder, show its tables, write JSON; with --docs also docs/ladder.md.

Ends as `python -m bench` does.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import machine
from bench.failure import BenchError
from bench.ladder import page, picture
from bench.ladder.cells import CONNECTIONS
from bench.ladder.page import FILE, Ladder
from bench.ladder.run import run, run_quick

ROOT: Final = Path(__file__).parents[2]
DIRECTORY: Final = ROOT / "bench" / "results"
DOCS: Final = ROOT / "docs"
PICTURE: Final = "images/ladder.svg"


def main(argv: Sequence[str] | None = None) -> int:
    """Run, or show again, as the command line says; gives the exit status."""
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        if arguments.show is not None:
            ladder = page.read(arguments.show)
        else:
            cores = machine.two_cores()
            if arguments.quick:
                ladder = run_quick(cores, console)
            else:
                ladder = run(cores, CONNECTIONS, arguments.rounds, arguments.seconds, console)
            page.write(ladder, arguments.output / FILE)
            console.print(f"written: {arguments.output / FILE}")
        if arguments.docs:
            write_docs(ladder, DOCS)
    except BenchError as error:
        console.print(f"bench: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("bench: interrupted; every process it started has ended")
        return 130
    page.show(ladder, arguments.markdown)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.ladder", description="Measure the ladder of four models.")
    parser.add_argument("--rounds", type=_positive, default=1, help="rounds of all measurements (default 1)")
    parser.add_argument("--seconds", type=_positive, default=3, help="length of one measurement (default 3)")
    parser.add_argument("--quick", action="store_true", help="1 s each at 10 and 1,000 connections: does it work")
    parser.add_argument("--output", type=Path, default=DIRECTORY, help=f"where {FILE} goes")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    parser.add_argument("--docs", action="store_true", help="write tables and picture of docs/ladder.md anew")
    parser.add_argument("--show", type=Path, nargs="?", const=DIRECTORY / FILE, help="measure nothing: show FILE again")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def write_docs(ladder: Ladder, docs: Path) -> None:
    """Write the page's figures, its picture, and the JSON file that both can be checked against."""
    file = docs / "ladder.md"
    text = page.with_figures(file.read_text(encoding="utf-8"), ladder)
    page.write(ladder, docs / FILE)
    (docs / PICTURE).write_text(picture.draw(ladder.cells), encoding="utf-8")
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
