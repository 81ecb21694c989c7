"""Real processes: what they are given, that they end with all that they have started, and with who has started them."""

import errno
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from steelyard.backends.launch import Process, launch
from tests.backends.fakes import a_wanted
from tests.processes.balancer import alive

pytestmark = pytest.mark.real
PATIENCE_S = 50.0


@contextmanager
def running(program: str, **other: Any) -> Iterator[Process]:
    """A process that runs this text of Python, killed at the end."""
    process = launch(a_wanted(argv=(sys.executable, "-c", program), **other), {})
    try:
        yield process
    finally:
        process.signal(signal.SIGKILL)
        ended(process)


def ended(process: Process) -> int:
    assert select.select([process.exit_fd], [], [], PATIENCE_S)[0], "it runs on"
    return process.finish()


def line(process: Process) -> str:
    """The next that it says."""
    said = b""
    while not said.endswith(b"\n"):
        assert select.select([process.output_fd], [], [], PATIENCE_S)[0], f"it says no more than {said!r}"
        said += process.read() or b""
    return said.decode().strip()


def test_what_it_says_is_read_in_pieces_so_that_a_flood_of_lines_holds_nobody_up() -> None:
    with running(r"import os, time; os.write(1, b'\n' * 65536); time.sleep(60)") as process:
        assert select.select([process.output_fd], [], [], PATIENCE_S)[0]
        assert b"\n" * 4096 == process.read()


def test_it_has_its_directory_its_environment_and_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("HANDED_ON", "yes")
    text = """
import os, time
given = os.environ["WHO"], os.environ["HANDED_ON"], os.environ.get("NOTIFY_SOCKET")
print(os.getcwd(), *given, os.getsid(0) == os.getpid(), flush=True)
time.sleep(60)
"""
    with running(text, directory=str(tmp_path), environment={"WHO": "me"}) as process:
        assert f"{tmp_path} me yes None True" == line(process)


def test_it_is_pinned_to_one_of_the_cores_that_we_may_use() -> None:
    """The third of two is the first one again."""
    cores = sorted(os.sched_getaffinity(0))
    with running("import os; print(*os.sched_getaffinity(0), flush=True)", core=len(cores)) as process:
        assert str(cores[0]) == line(process)


def test_signals_that_we_ignore_are_not_ignored_there() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with running("import time; print('here', flush=True); time.sleep(60)") as process:
            line(process)
            process.signal(signal.SIGTERM)
            assert select.select([process.exit_fd], [], [], PATIENCE_S)[0]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_command_that_is_missing_is_said_by_its_name() -> None:
    process = launch(a_wanted(argv=("no-such-program", "1")), {})
    assert "no-such-program cannot be run: no such file or directory" == line(process)
    assert 127 == ended(process)


def test_a_directory_that_is_missing_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        launch(a_wanted(directory=str(tmp_path / "none")), {})


def test_what_it_has_started_ends_with_it() -> None:
    text = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
os._exit(3)
"""
    process = launch(a_wanted(argv=(sys.executable, "-c", text)), {})
    child = int(line(process))
    assert 3 == ended(process)
    give_up = time.monotonic() + PATIENCE_S
    while alive(child):
        assert time.monotonic() < give_up, "it has left a process behind"


def test_it_ends_with_who_has_started_it() -> None:
    """Even when that one is killed."""
    text = """
import select, sys, time
from steelyard.backends.launch import launch
from tests.backends.fakes import a_wanted
process = launch(a_wanted(argv=(sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)")), {})
select.select([process.output_fd], [], [])
print(process.pid, flush=True)
time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    fd = os.pidfd_open(pid)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert select.select([fd], [], [], PATIENCE_S)[0], "it has outlived its owner"
    os.close(fd)


def test_one_whose_end_could_not_be_seen_is_not_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def cannot(pid: int) -> int:
        started.append(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", cannot)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Too many open files"):
        launch(a_wanted(argv=("sleep", "600")), {})
    assert before == len(os.listdir("/proc/self/fd"))
    assert [False] == [alive(pid) for pid in started]
