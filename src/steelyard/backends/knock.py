"""Does a local backend listen yet? Asked without waiting, by one thread that has other things to do.

A connection that is accepted is closed again, without a byte. Where that would do harm, and where there is none, the
kernel is asked which ports are listened at (proc(5)): servers of `task` need not bear a connection that asks nothing,
and UDP knows no connections. There it must also have run for a moment: a port that is bound says nothing of who has it.
"""

import socket
from collections.abc import Iterable
from contextlib import suppress
from errno import EAGAIN, EALREADY, EINPROGRESS, EISCONN
from pathlib import Path
from typing import Final

from steelyard.backends.wanted import Wanted
from steelyard.core.spec import TASK, UDP

# A program that cannot run has ended by then.
UDP_AFTER_S: Final = 0.3
UDP_TABLES: Final = (Path("/proc/net/udp"), Path("/proc/net/udp6"))
TCP_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENING: Final = "0A"
BOUND: Final = "07"


class Knock:
    """Knocks at one address, again and again."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._sock: socket.socket | None = None

    def answered(self, age_s: float) -> bool:
        """Whether somebody is there; not for sure where we have no descriptor to ask with.

        age_s: how long the process has run.
        """
        try:
            return self._answered(age_s)
        except OSError:
            return False

    def close(self) -> None:
        """Ask no more."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _answered(self, age_s: float) -> bool:
        if self.wanted.protocol == UDP:
            return age_s >= UDP_AFTER_S and is_taken(self.wanted.port, BOUND, UDP_TABLES)
        if self.wanted.protocol == TASK and self.wanted.path is None:
            return is_taken(self.wanted.port, LISTENING, TCP_TABLES)
        sock, self._sock = self._sock, None
        if sock is None:
            unix = self.wanted.path is not None
            sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
        address = self.wanted.path or (self.wanted.host, self.wanted.port)
        code = sock.connect_ex(address)
        if code == EINPROGRESS:  # within a machine it is over by now
            code = sock.connect_ex(address)
        if code in (EINPROGRESS, EALREADY):
            self._sock = sock  # it is asked again
            return False
        sock.close()
        # A unix socket whose queue is full says "again": somebody listens there.
        return code in (0, EISCONN) or (code == EAGAIN and self.wanted.path is not None)


def is_taken(port: int, state: str, tables: Iterable[Path]) -> bool:
    """Whether any socket of this machine has that port, and is in this state; of tables as /proc/net/tcp."""
    wanted = f":{port:04X}"
    for table in tables:
        with suppress(FileNotFoundError):  # a kernel without IPv6
            for line in table.read_text().splitlines()[1:]:
                _, local, _, found, *_ = line.split()
                if local.endswith(wanted) and found == state:
                    return True
    return False
