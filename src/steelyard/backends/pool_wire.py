"""What a pool and its workers say to each other over a socket pair: frames, whole and in order.

A frame is its kind, a time, a length, and so many bytes, which are a pickle of their own (protocol 5): so one that
cannot be read spoils nothing but itself. Many go in one write and come in one read. Both ends are processes of one
program and of one user, and the socket has no name: nobody else can write to it, which unpickling asks for.

Tasks are numbered, and a worker begins none before it has read that number from a second socket, the permits. The
parent can read there too: what it gets back has not been begun, and never will be. So a worker may hold many tasks, and
yet none of them has to wait behind a slow one; and when a worker dies it is known which task it was at, if any.
"""

from struct import Struct
from typing import Final

HEADER: Final = Struct("!BdQ")
READ_BYTES: Final = 256 * 1024
PROTOCOL: Final = 5

# A permit, and what stands before the pickle in a task.
NUMBER: Final = Struct("!Q")

# To a worker.
SETUP: Final = 1
TASK: Final = 2
# From a worker. Answers come in the order of tasks.
READY: Final = 3
BROKEN: Final = 4  # the function cannot be had: its text says why
VALUE: Final = 5
RAISED: Final = 6  # by the function
UNREADABLE: Final = 7  # the task, in the worker
UNPICKLABLE: Final = 8  # the value

Frame = tuple[int, float, bytes]


def frame(kind: int, body: bytes, took_s: float = 0.0) -> bytes:
    """One frame. took_s: of an answer, how long the worker was at it."""
    return HEADER.pack(kind, took_s, len(body)) + body


class Frames:
    """Bytes as they come, frames as they are whole."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now."""
        held: bytes | bytearray = data
        if self._left:
            self._left += data
            held = self._left
        found: list[Frame] = []
        at = 0
        size = HEADER.size
        end = len(held)
        while end - at >= size:
            kind, took_s, length = HEADER.unpack_from(held, at)
            after = at + size + length
            if after > end:
                break
            found.append((kind, took_s, bytes(held[at + size : after])))
            at = after
        if held is self._left:
            del self._left[:at]
        else:
            self._left += data[at:]
        return found
