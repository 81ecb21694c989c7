"""Orphans are reaped, and nobody else's children."""

import subprocess
import sys
from typing import Final

import pytest

from steelyard.processes import orphans

# A process that is to its descendants what process 1 is (prctl(2), PR_SET_CHILD_SUBREAPER), with one child of its own
# and two orphans, all of which have ended: what it reaps, and what it leaves.
PROGRAM: Final = """
import ctypes, os, subprocess, sys, time
from steelyard.processes.orphans import reap_orphans
assert reap_orphans(()) == 0, "it has no children"
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
for _ in range(2):
    subprocess.run([sys.executable, "-S", "-c", "import os; os.fork() or os.execv('/bin/true', ['true'])"], check=True)
found = 0
while found < 2:
    found += reap_orphans(())
    time.sleep(0.01)
own = subprocess.Popen(["/bin/true"])
while os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT) is None:
    time.sleep(0.01)
assert reap_orphans({own.pid}) == 0
assert own.wait() == 0, "its end is still there for who waits for it"
print(found, reap_orphans(()))
"""


@pytest.mark.real
def test_what_others_have_left_is_reaped_and_a_child_of_ours_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert ("2 0\n", "") == (done.stdout, done.stderr)


class Some:
    def __init__(self, *pids: int) -> None:
        self.own = set(pids)

    def pids(self) -> set[int]:
        return self.own


@pytest.mark.parametrize(("pid", "asked"), [(1, [{2, 3, 4}]), (7, [])])
def test_it_is_up_to_process_1_alone(pid: int, asked: list[set[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []
    monkeypatch.setattr("os.getpid", lambda: pid)
    monkeypatch.setattr(orphans, "reap_orphans", seen.append)
    orphans.tick(Some(2, 3), Some(4))
    assert asked == seen
