"""Workers that hang are ended: the process lives, but its event loop does not come round any more.

Each worker writes the time into its cell BEAT once a second. `now` is an argument: monotonic seconds.
"""

import logging
from collections.abc import Iterable
from typing import Final

from steelyard.core import table as cells
from steelyard.core.table import Table
from steelyard.processes.children import Child

HANG_S: Final = 30.0  # a loop that has not come round for so long is not coming: no step of ours takes a second

_log = logging.getLogger("steelyard")


class Hangs:
    """Looks at the beats. awake_since: when whoever looks came round last after a long time in which it did not: the
    machine slept then, or all of us were stopped, and the workers need a moment as we do."""

    def __init__(self, now: float) -> None:
        self.looked = self.awake_since = now

    def end(self, now: float, table: Table | None, workers: Iterable[Child]) -> None:
        """Kill those that hang. To be called often, also when there is no table yet."""
        if now - self.looked > HANG_S / 2:
            self.awake_since = now
        self.looked = now
        if table is None:
            return
        for child in workers:
            beat_s = table.of_worker(cells.BALANCER, child.number, cells.BEAT) / 1000
            if now - max(beat_s, child.born, self.awake_since) > HANG_S and not child.ending:
                _log.warning("%s", f"{child.name} hangs: its loop has not come round for {HANG_S:g} s; it is killed")
                child.ending = True
                child.process.kill()
