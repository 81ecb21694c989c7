"""One process of a local backend: started, asked to end, reaped. Standard library alone.

It has a session of its own, so that Ctrl-C at a terminal is for the balancer alone, and so that all that it has started
(its process group) ends with it. Its end is a descriptor that becomes readable (pidfd_open(2)), its output a pipe.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from steelyard.backends.wanted import Wanted

BOUND: Final = Path(__file__).with_name("bound.py")
# At once: each line of it costs some 20 microseconds, for which the loop of an embedding program stands still.
READ_BYTES: Final = 4096
# What is meant for the balancer itself: who starts it talks to it by these, and not to what it starts.
OURS: Final = frozenset(
    {
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "STEELYARD_READY_FD",
        "STEELYARD_SOCKETS",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)


class Process:
    """A process that runs. exit_fd: readable when it has ended. output_fd: what it says."""

    def __init__(self, popen: "subprocess.Popen[bytes]", output_fd: int) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.output_fd = output_fd
        try:
            self.exit_fd = os.pidfd_open(popen.pid)
        except OSError:  # no descriptor is left: nobody would learn of its end
            self.signal(signal.SIGKILL)
            popen.wait()
            raise

    def read(self) -> bytes | None:
        """Some of what it has said; empty when nobody can say more, None when there is nothing now."""
        try:
            return os.read(self.output_fd, READ_BYTES)
        except BlockingIOError:
            return None

    def signal(self, number: int) -> None:
        """Send a signal to it and to all that it has started, as far as those have not left its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def finish(self) -> int:
        """It has ended: end what it has started, let go of everything; its return code, as of subprocess."""
        # Before it is reaped: until then the number of the group cannot be another's.
        self.signal(signal.SIGKILL)
        code = self.popen.wait()
        os.close(self.exit_fd)
        os.close(self.output_fd)
        return code


def launch(wanted: Wanted, user: Mapping[str, Any]) -> Process:
    """Start it. user: as whom, in words for subprocess; empty for ourselves. Raises OSError where that cannot be."""
    if wanted.path is not None:
        with suppress(FileNotFoundError):  # of the process before
            os.unlink(wanted.path)
    read, write = os.pipe()
    try:
        os.set_blocking(read, False)
        core = -1 if wanted.core is None else wanted.core
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", str(BOUND), str(os.getpid()), str(core), *wanted.argv],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            cwd=wanted.directory or None,
            env={name: value for name, value in os.environ.items() if name not in OURS} | dict(wanted.environment),
            start_new_session=True,
            **(user if os.geteuid() == 0 else {}),
        )
        return Process(popen, read)
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
