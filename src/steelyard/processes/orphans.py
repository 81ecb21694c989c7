"""As process 1 of a container: to reap what others have left behind, for the kernel gives it to process 1.

A local backend that is killed leaves the processes that it has started, and they end as zombies of ours. Who else is to
be reaped is known by its number, and left to whoever started it. Standard library alone.
"""

import os
from collections.abc import Collection
from typing import Protocol


class Some(Protocol):
    """Children of ours, who are reaped by who started them."""

    def pids(self) -> set[int]:
        """Of all that run, or are to be reaped yet."""


def tick(*ours: Some) -> None:
    """Reap what there is to reap, where that is up to us."""
    if os.getpid() == 1:
        reap_orphans(set[int]().union(*(some.pids() for some in ours)))


def reap_orphans(ours: Collection[int]) -> int:
    """Reap those that have ended and are none of ours; how many.

    One of ours that has ended hides the others until it is reaped: to be called again and again.
    """
    count = 0
    while (pid := _ended()) and pid not in ours:
        os.waitpid(pid, 0)
        count += 1
    return count


def _ended() -> int:
    """A child that has ended and is not reaped; 0 for none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return 0 if found is None else found.si_pid
