"""The program that a local backend's process runs first: bound to its parent, it becomes the command."""

import os
import signal
import subprocess
import sys

import pytest

from steelyard.backends.bound import CANNOT_RUN
from steelyard.backends.launch import BOUND

pytestmark = pytest.mark.real


def run(*command: str, parent: int | None = None, core: int = -1) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, as launch.py does. parent: None for the real one."""
    words = [sys.executable, "-I", "-S", str(BOUND), str(parent or os.getpid()), str(core), *command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def python(source: str, core: int = -1) -> str:
    """What a program of these lines prints."""
    done = run(sys.executable, "-I", "-c", source, core=core)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


def test_it_becomes_the_command_with_its_words_as_they_are() -> None:
    assert (
        "['a b', '{port}', '']"
        == run(sys.executable, "-c", "import sys; print(sys.argv[1:])", "a b", "{port}", "").stdout.strip()
    )


def test_a_command_that_is_not_there_is_one_line() -> None:
    done = run("no-such-program-of-ours")
    assert (CANNOT_RUN, "no-such-program-of-ours cannot be run: no such file or directory\n") == (
        done.returncode,
        done.stderr,
    )


def test_nothing_is_run_for_a_parent_that_is_gone() -> None:
    done = run("echo", "here", parent=1 if os.getpid() != 1 else 2)
    assert (CANNOT_RUN, "") == (done.returncode, done.stdout)


def test_the_kernel_kills_it_when_its_parent_is_gone() -> None:
    """PR_GET_PDEATHSIG of prctl(2): what was set holds for the command, too."""
    source = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
    assert str(int(signal.SIGKILL)) == python(source)


def test_signals_that_the_parent_ignores_are_heard_again() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert "True" == python("import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)")
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("round_about", [0, 1])
def test_it_is_pinned_to_one_of_the_allowed_cores_counted_round(round_about: int) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    core = len(allowed) - 1 + round_about * len(allowed)
    assert str({allowed[-1]}) == python("import os; print(os.sched_getaffinity(0))", core)
