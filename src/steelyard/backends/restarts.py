"""When is a process that has ended started again: at once, and later and later if it keeps ending young.

Pure. Source: Erlang's supervisors and systemd's RestartSteps, which both keep a program that cannot run from taking up
the machine; we never give up, since what is wrong may be mended while we wait.
"""

import signal
from collections.abc import Hashable
from typing import Final

YOUNG_S: Final = 5.0  # who ends sooner than this a second time is not replaced at once
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0


class Restarts:
    """What is known of those that have ended, by a process's number or key. replaced: how often each was."""

    def __init__(self) -> None:
        self.replaced: dict[Hashable, int] = {}
        self._pause_s: dict[Hashable, float] = {}

    def pause_s(self, which: Hashable, age_s: float) -> float:
        """This one has ended at that age: how long until another one is started."""
        pause_s = self._pause_s.get(which, 0.0) if age_s < YOUNG_S else 0.0
        self._pause_s[which] = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self.replaced[which] = self.replaced.get(which, 0) + 1
        return pause_s

    def forget(self, which: Hashable) -> None:
        """It is there no more."""
        self.replaced.pop(which, None)
        self._pause_s.pop(which, None)


def how_ended(code: int) -> str:
    """What a return code of subprocess means."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # most of the real-time ones have no name
        return f"signal {-code}"
