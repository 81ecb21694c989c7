"""A balancer's clock for cases with deadlines that are shorter than a busy machine may stand still.

Client, balancer and backend of a case are one process. Where that is stopped for two seconds, a deadline of half a
second is over before anybody could have said a word, and the balancer is right to say so. By this clock it is not over.
"""

import asyncio
from time import monotonic
from typing import Final

TICK_S: Final = 0.01
# So much of a pause is taken for work.
MOST_S: Final = 0.05


class Clock:
    """Seconds in which this process has run: those of `monotonic`, without what it stood still for."""

    def __init__(self) -> None:
        self._time_s = self._seen_s = monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> float:
        now = monotonic()
        self._time_s += min(now - self._seen_s, MOST_S)
        self._seen_s = now
        return self._time_s

    def start(self) -> None:
        """Be looked at often from now on: when nobody does, that is a pause as well."""
        self()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
