"""What systemd is told, and what it hands over: sd_notify(3) and sd_listen_fds(3), without its library.

Outside systemd all of this does nothing. Standard library alone: the supervisor uses it.
"""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

FIRST_DESCRIPTOR: Final = 3  # SD_LISTEN_FDS_START
PATIENCE_S: Final = 0.2  # a dozen messages wait for their reader in the kernel; for one that hangs, we do not


def notify(*lines: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Send such as `READY=1` or `STATUS=serving`; lost where nobody listens."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendto("\n".join(lines).encode(), "\0" + address[1:] if address[0] == "@" else address)


def watchdog_s(environ: MutableMapping[str, str] = os.environ) -> float | None:
    """How often we must say `WATCHDOG=1`: half of what the unit's WatchdogSec allows; None when nobody asks."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6 / 2


class Watchdog:
    """Says that we live, as often as we must; never where nobody asks."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self.environ = environ
        self.every_s = watchdog_s(environ)
        self.next_at_s = 0.0

    def tick(self, now: float) -> None:
        """Say so if it is time to. To be called often."""
        if self.every_s is not None and now >= self.next_at_s:
            self.next_at_s = now + self.every_s
            notify("WATCHDOG=1", environ=self.environ)


def activated(environ: MutableMapping[str, str] = os.environ) -> list[tuple[str, int]]:
    """(name, descriptor) of each socket that systemd has bound for us, and takes the words out of the environment.

    name: FileDescriptorName= of the socket unit, or the unit's own name; empty where it says none.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    found = []
    for at in range(int(count)):
        os.set_inheritable(FIRST_DESCRIPTOR + at, False)
        found.append((names[at] if at < len(names) else "", FIRST_DESCRIPTOR + at))
    return found
