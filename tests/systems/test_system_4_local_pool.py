"""System 4: workers inside the same machine, from examples/local_pool as a person runs it."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.systems.programs import EXAMPLES, PATIENCE_S, program

pytestmark = pytest.mark.real

EXAMPLE = EXAMPLES / "local_pool"
FILES = sorted(path.name for path in (EXAMPLE / "data").iterdir())


def run(*arguments: object) -> tuple[int, str, list[tuple[str, str, str]]]:
    """Its exit status, its first line, and the rows of its table: worker, task, result."""
    with program(EXAMPLE / "run.py", *arguments, COLUMNS="200") as running:
        first = running.until(r"^\d+ tasks: .*")[0]
        status = running.process.wait(PATIENCE_S)
        running.end()
        lines = running.rest()
    cells = [tuple(cell.strip() for cell in line.strip("│").split("│")) for line in lines if line.startswith("│")]
    return status, first, [(worker, task, result) for worker, task, result in cells]


@pytest.mark.parametrize("policy", ["round_robin", "least_connections"])
def test_every_file_is_done_once_by_a_worker_of_its_kind(policy: str) -> None:
    status, first, rows = run("--policy", policy)
    assert (0, f"{len(FILES)} tasks: {len(FILES)} done, 0 failed") == (status, first)
    assert sorted(FILES) == sorted(task for _, task, _ in rows)
    for worker, task, _ in rows:
        kind = "image" if task.endswith(".ppm") else "text"
        assert re.fullmatch(rf"{kind}_processing-[0-3]", worker)
    assert {0: 1, 1: 1, 2: 1, 3: 1} == Counter(int(worker[-1]) for worker in {worker for worker, _, _ in rows})


def test_what_workers_say_of_files_is_true() -> None:
    _, _, rows = run("--processes", 2)
    found = {task: result for _, task, result in rows}
    assert "12 x 8, brightness 94% [████]" == found["snow.ppm"]
    assert "12 x 8, brightness 6% [    ]" == found["night.ppm"]
    assert "18 words of greek, the longest: χρειάζεται" == found["greek.txt"]
    assert "26 words of latin, the longest: steelyard" == found["english.txt"]


def test_a_file_that_cannot_be_worked_on_is_a_row_that_says_why(tmp_path: Path) -> None:
    files = {
        "short.ppm": b"P3 2 2 255 1 2 3",
        "none.ppm": b"\x89PNG",
        "empty.txt": b" ",
        "raw.ppm": b"P6 1 1 255\n\xff\xff\xff",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    status, first, rows = run(*(tmp_path / name for name in files), tmp_path / "gone.txt")
    found = {task: result for _, task, result in rows}
    assert (1, "5 tasks: 1 done, 4 failed") == (status, first)
    assert found["short.ppm"].startswith("failed: no whole PPM image: 3 values for 2 x 2 pixels")
    assert found["none.ppm"].startswith("failed: no PPM image")
    assert "failed: no words in it" == found["empty.txt"]
    assert found["gone.txt"].startswith("failed: [Errno 2] No such file or directory")
    assert "1 x 1, brightness 100% [████]" == found["raw.ppm"]
