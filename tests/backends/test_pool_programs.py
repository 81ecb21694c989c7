"""LocalPool in programs as people run them: functions in the program itself, Ctrl-C, kill -9, and what is printed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

import pytest

from tests.systems.programs import PATIENCE_S, program

pytestmark = pytest.mark.real

ASYNCHRONOUS: Final = """\
import asyncio
from dataclasses import dataclass
from steelyard import LocalPool

@dataclass
class Photo:
    name: str

class Blurred(Exception):
    pass

def develop(photo: Photo) -> Photo:
    if photo.name == "bad":
        raise Blurred("it is blurred")
    return Photo(photo.name.upper())

async def main() -> None:
    async with LocalPool([develop], processes=2) as pool:
        found = [result.value.name async for result in pool.map([Photo("one"), Photo("two")])]
        print("done:", *sorted(found))
        try:
            await pool.submit(Photo("bad"))
        except Exception as failure:
            print("failed:", isinstance(failure.cause, Blurred), failure)

if __name__ == "__main__":
    asyncio.run(main())
"""

SYNCHRONOUS: Final = """\
from steelyard import SyncLocalPool

def double(number):
    print("doubling", number)
    return 2 * number

if __name__ == "__main__":
    with SyncLocalPool([double], processes=1) as pool:
        print("done:", pool.submit(21).value)
"""

UNGUARDED: Final = """\
from steelyard import SyncLocalPool

def double(number):
    return 2 * number

with SyncLocalPool([double], processes=1) as pool:
    print("done:", pool.submit(21).value)
"""

LASTING: Final = """\
import sys, threading
from pathlib import Path
from steelyard import SyncLocalPool

def hang(file):
    Path(file).touch()
    threading.Event().wait(3600)

if __name__ == "__main__":
    with SyncLocalPool([hang], processes=2) as pool:
        print("pids:", *pool.pids.values())
        pool.submit_nowait(sys.argv[1]).result()
"""


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        file = tmp_path / "a_program_of_ours.py"
        file.write_text(text)
        return file

    return written


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = monotonic() + PATIENCE_S
    while not holds():
        assert monotonic() < give_up
        Event().wait(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has asked for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_functions_tasks_and_exceptions_may_be_the_programs_own(script: Callable[[str], Path]) -> None:
    with program(script(ASYNCHRONOUS)) as running:
        assert "done: ONE TWO" == running.until(r"^done: .*")[0]
        assert "failed: True task Photo(name='bad') at develop-" in running.until(r"^failed: .*")[0]
        assert 0 == running.process.wait(PATIENCE_S)


def test_the_same_goes_for_a_program_that_is_run_as_a_module(script: Callable[[str], Path], tmp_path: Path) -> None:
    script(ASYNCHRONOUS)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with program("-m", "a_program_of_ours", PYTHONPATH=path) as running:
        assert "done: ONE TWO" == running.until(r"^done: .*")[0]
        assert 0 == running.process.wait(PATIENCE_S)


def test_what_workers_print_passes_through(script: Callable[[str], Path]) -> None:
    with program(script(SYNCHRONOUS), PYTHONUNBUFFERED="") as running:
        assert 0 == running.process.wait(PATIENCE_S)
        running.until(r"^doubling 21$")
        running.until(r"^done: 42$")


def test_a_program_without_a_guard_is_one_clear_error_and_no_endless_family(script: Callable[[str], Path]) -> None:
    with program(script(UNGUARDED)) as running:
        assert 1 == running.process.wait(PATIENCE_S)
        said = "\n".join(running.rest())
    assert 'put what starts it under `if __name__ == "__main__":`' in said
    assert "worker double-0 did not become ready" in said
    assert "done:" not in said


def test_what_was_typed_has_no_file_and_is_refused() -> None:
    text = "from steelyard import LocalPool\ndef f(x): pass\nLocalPool([f])"
    with program("-c", text) as running:
        assert 1 == running.process.wait(PATIENCE_S)
        running.until("f was typed into an interactive session, which a worker cannot import")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_however_it_ends(
    script: Callable[[str], Path], tmp_path: Path, number: signal.Signals
) -> None:
    begun = tmp_path / "begun"
    with program(script(LASTING), begun) as running:
        pids = [int(pid) for pid in running.until(r"^pids: (\d+) (\d+)$").groups()]
        wait_until(begun.exists)
        running.process.send_signal(number)
        running.process.wait(PATIENCE_S)
        wait_until(lambda: all(map(is_gone, pids)))


def test_ctrl_c_is_for_the_program_and_not_for_its_workers(script: Callable[[str], Path], tmp_path: Path) -> None:
    """At a terminal it goes to the whole group of processes: the workers are in groups of their own."""
    begun = tmp_path / "begun"
    with program(script(LASTING), begun) as running:
        pids = [int(pid) for pid in running.until(r"^pids: (\d+) (\d+)$").groups()]
        wait_until(begun.exists)
        assert {*pids} == {os.getpgid(pid) for pid in pids}
        running.process.send_signal(signal.SIGINT)
        running.process.wait(PATIENCE_S)
        said = "\n".join(running.rest())
    assert 1 == said.count("KeyboardInterrupt")
    assert "SyncLocalPool: 1 tasks were not done, as its block was left by this exception" in said


def test_a_pool_can_be_used_in_a_test(tmp_path: Path) -> None:
    """Of a module that pytest imports in its own way, in a directory of its own."""
    (tmp_path / "test_of_a_user.py").write_text(
        "from steelyard import SyncLocalPool\n"
        "def double(number):\n    return 2 * number\n"
        "def test_it():\n"
        "    with SyncLocalPool([double], processes=1) as pool:\n        assert 42 == pool.submit(21).value\n"
    )
    with program("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path) as running:
        assert 0 == running.process.wait(PATIENCE_S), running.rest()
        running.until("1 passed")
