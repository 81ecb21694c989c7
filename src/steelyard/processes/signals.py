"""Signals of a process of ours: the supervisor reads them from a socket, and the others leave them to it.

A handler may run in the middle of anything; what is read from a socket comes when its turn is. Standard library alone.
"""

import signal
from collections.abc import Iterable
from socket import socket, socketpair
from types import FrameType


def as_bytes(numbers: Iterable[int]) -> socket:
    """From now on each of these signals is a byte, its number, that can be read here.

    SIGHUP stays ignored where whoever started us has asked for that, as nohup does. SIGUSR1, by which other servers
    reopen their logs, would end us; here a reload does that.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    read, write = socketpair()
    write.setblocking(False)
    signal.set_wakeup_fd(write.detach(), warn_on_full_buffer=False)
    for number in numbers:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _wake)
    return read


def ignore() -> None:
    """They are for the supervisor; whoever means one process alone has SIGKILL, after which another one is started."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _wake(number: int, frame: FrameType | None) -> None:
    """The number goes through the wakeup descriptor; without a handler it would not."""
