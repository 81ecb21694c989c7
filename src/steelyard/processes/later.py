"""What is to be done later, for a loop that comes round often enough: no thread and no timer of the system."""

import logging
import time
from collections.abc import Callable

_log = logging.getLogger("steelyard")


class Later:
    """Calls, and when they are due, in monotonic seconds."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call it then, or at once."""
        if seconds > 0.0:
            self.calls.append((time.monotonic() + seconds, call))
        else:
            call()

    def wait_s(self, most_s: float) -> float:
        """How long nothing is due yet, at most so long."""
        if not self.calls:
            return most_s
        return max(0.0, min(most_s, min(due for due, _ in self.calls) - time.monotonic()))

    def do(self, now: float) -> None:
        """Call what is due. What fails is said, and holds up nothing else."""
        for item in [item for item in self.calls if item[0] <= now]:
            self.calls.remove(item)
            try:
                item[1]()
            except Exception:  # a bug, or no descriptor left
                _log.exception("what was due could not be done")
