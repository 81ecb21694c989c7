"""Several processes share the work on these files: python run.py [FILE...]; see README.md."""

import argparse
import asyncio
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from workers import image_processing, text_processing

from steelyard import LocalPool, Result, TaskFailed
from steelyard.backends.results import PoolError

DATA = Path(__file__).parent / "data"


async def work(files: list[str], processes: int, policy: str, limit_s: float) -> list[Result[str, str] | TaskFailed]:
    """Have every file done by a worker of its kind; what came of them, in the order in which it came."""
    kinds = {
        image_processing: [file for file in files if file.endswith(".ppm")],
        text_processing: [file for file in files if not file.endswith(".ppm")],
    }
    found: list[Result[str, str] | TaskFailed] = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("working", total=len(files))
        async with LocalPool(list(kinds), processes=processes, policy=policy, timeout=limit_s) as pool:

            async def one_kind(function, its_files):
                async for one in pool.map(its_files, function=function, return_failures=True):
                    found.append(one)
                    progress.advance(bar)

            async with asyncio.TaskGroup() as group:
                for function, its_files in kinds.items():
                    group.create_task(one_kind(function, its_files))
        print(f"{pool.submitted} tasks: {pool.done} done, {pool.failed} failed")
    return found


def main() -> int:
    """Run as the command line says; 1 where a task has failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", default=sorted(map(str, DATA.iterdir())), metavar="FILE")
    parser.add_argument("--processes", type=int, default=4, help="of both kinds together (default 4)")
    parser.add_argument("--policy", default="round_robin", help="or least_connections, power_of_two...")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds that a worker may be at a file")
    arguments = parser.parse_args()
    try:
        found = asyncio.run(work(arguments.files, arguments.processes, arguments.policy, arguments.timeout))
    except PoolError as error:
        parser.error(str(error))
    table = Table("worker", "task", "result")
    for one in found:
        what = one.value if isinstance(one, Result) else f"failed: {one.cause}"
        table.add_row(one.worker, escape(Path(one.task).name), escape(what))
    Console().print(table)
    return 1 if any(isinstance(one, TaskFailed) for one in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
