"""Does anything lie in a socket's receive buffer? One system call, for every reuse of a kept connection.

A close that has come, or bytes that nobody asked for: either makes the connection unfit. Asked of the kernel,
since the event loop may not have got round to that socket yet.
Compiled, it is recv(2) itself: socket.recv raises an exception in the usual case, which costs more than the call.
"""

from socket import MSG_PEEK, socket
from typing import Final

COMPILED: Final = not __file__.endswith(".py")


def quiet(sock: socket, fd: int) -> bool:
    """Whether the connection is open and nothing has come. fd: sock's descriptor, -1 for one that has none."""
    if COMPILED and fd >= 0:  # pragma: no cover (coverage sees only the interpreted run)
        return nothing_to_read(fd)  # type: ignore[name-defined,no-any-return] # noqa: F821 (peek.pxd)
    try:
        sock.recv(1, MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
