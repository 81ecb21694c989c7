"""Whether a connection that is not read has been reset.

The event loop hears of a reset by reading, and so not of one on a connection that is to be read later. The kernel says
so (POLLERR) whatever lies unread before it, and takes nothing away. A FIN is none: who has said all is still there.
Source: poll(2); tcp_reset and tcp_poll in Linux.
"""

import select
from asyncio import WriteTransport


def is_broken(transport: WriteTransport) -> bool:
    """Whether it was reset, or has timed out. One system call; False where the kernel cannot be asked."""
    look = select.poll()
    try:
        look.register(transport.get_extra_info("socket").fileno(), 0)  # for no event: errors are always told
    except ValueError:
        return False
    return any(events & select.POLLERR for _, events in look.poll(0))
