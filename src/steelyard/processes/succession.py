"""A new program takes over: it is started on our sockets, and when it serves, it says so and we may go.

The new one is a supervisor like us, with a table and workers of its own; sockets come to it by inheritance, and the
end of a pipe through which it says that it serves. Standard library alone. Source: nginx (SIGUSR2).
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

SUPERVISOR: Final = "steelyard.supervisor"
READY_FD: Final = "STEELYARD_READY_FD"
UPGRADE_S: Final = 60.0  # a new program that does not serve by then is given up


class Successor:
    """The new program. then: called with whether it came up. Raises OSError where it cannot even be started."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        command: Sequence[str],
        environ: dict[str, str],
        sockets: Sequence[int],
        then: Callable[[bool], None],
    ) -> None:
        self.selector = selector
        self.then = then
        self.decided = False
        # What asks for a watchdog asks a process by its number, which was ours; it is the new one's from now on.
        environ = {key: value for key, value in os.environ.items() if key != "WATCHDOG_PID"} | environ
        self.pipe, write = os.pipe()
        try:
            self.process = subprocess.Popen(command, env={**environ, READY_FD: str(write)}, pass_fds=(write, *sockets))
        except OSError:
            os.close(self.pipe)
            raise
        finally:
            os.close(write)
        selector.register(self.pipe, selectors.EVENT_READ, self._heard)

    def give_up(self) -> None:
        """It has had its time."""
        if not self.decided:
            self.process.kill()

    def _heard(self) -> None:
        self.decided = True
        came_up = os.read(self.pipe, 1) == b"!"
        self.selector.unregister(self.pipe)
        os.close(self.pipe)
        if not came_up:  # it has ended, or will be of no use
            self.process.kill()
            self.process.wait()
        self.then(came_up)


def command(module: str, source: dict[str, Any]) -> list[str]:
    """How a supervisor is started."""
    return [sys.executable, "-P", "-m", module, json.dumps(source)]


def why_not(successor: Successor | None, serving: bool) -> str:
    """Why there can be no upgrade now; empty when there can."""
    if os.getpid() == 1:
        return "this is process 1 of a container, which ends with it; replace the container instead"
    if successor is not None and not successor.decided:
        return f"an upgrade goes on already (pid {successor.process.pid})"
    return "" if serving else "this balancer is starting or stopping"


def report_ready() -> None:
    """Tell the program before us, if there is one, that we serve."""
    if ready := os.environ.pop(READY_FD, ""):
        with suppress(OSError):  # it may have ended meanwhile, and then we are all there is
            os.write(int(ready), b"!")
        os.close(int(ready))
