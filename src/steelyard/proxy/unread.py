"""How much of what was written has not been taken by who it is for.

The event loop hears of room only when a third of the kernel's buffer is free, which grows to 4 MiB: for a slow reader
that takes minutes, in which nothing moves here. So whether somebody reads is seen by what the kernel holds still.
Source: tcp(7), SIOCOUTQ; sk_stream_is_writeable in Linux.
"""

import struct
from asyncio import WriteTransport
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Final

_INT: Final = struct.Struct("i")


def unread(transport: WriteTransport) -> int:
    """Bytes in our hands and in the kernel's; 0 where none are in ours, as then nobody waits for it."""
    held = transport.get_write_buffer_size()
    if held == 0:  # and it may be closed
        return 0
    return held + in_kernel(transport.get_extra_info("socket").fileno())


def in_kernel(descriptor: int) -> int:
    """Bytes that the kernel has taken over and that its peer's has not; 0 where it cannot be asked."""
    try:
        found: int = _INT.unpack(ioctl(descriptor, TIOCOUTQ, bytes(_INT.size)))[0]
    except (OSError, ValueError):
        return 0
    return found
