"""Messages between two processes over a socket pair: words as JSON, a blob of bytes, and descriptors.

A message is two lengths and a count (of the JSON, of the blob, of the descriptors), then the JSON, then the blob; the
descriptors travel beside its first bytes (SCM_RIGHTS, unix(7)). Nothing here waits: what does not go out at once is
kept, and whoever owns the loop (a selector in the supervisor, asyncio in the others) calls `receive` and `flush` when
the socket is ready. The blob is opaque: the supervisor passes it on and never looks into it.
"""

import json
import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET, socket
from struct import Struct
from typing import Any, Final, NamedTuple

from steelyard.processes.description import NAMES

HEADER: Final = Struct("!III")
READ_BYTES: Final = 256 * 1024
# What the kernel takes in one message (SCM_MAX_FD is 253).
MOST_DESCRIPTORS: Final = 200
# Far beyond a configuration of a hundred thousand backends; a length above it is no message of ours.
LARGEST_BYTES: Final = 1 << 30
_ROOM_FOR_DESCRIPTORS: Final = CMSG_SPACE(MOST_DESCRIPTORS * array("i").itemsize)


class Message(NamedTuple):
    """name: what it is (description.py). words: what it says. The descriptors are the receiver's to close."""

    name: str
    words: dict[str, Any]
    blob: bytes
    descriptors: list[int]


class Channel:
    """One end of a socket pair. closed: the other end is gone, or has sent what is no message.

    on_close: called once, just before the socket is closed: whoever waits for it must let go of its number first,
    which the next descriptor gets.
    """

    def __init__(self, sock: socket, on_close: Callable[[], object] = lambda: None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.on_close = on_close
        self.closed = False
        self._in = bytearray()
        self._descriptors: deque[int] = deque()
        self._out: deque[tuple[memoryview, list[int]]] = deque()

    def fileno(self) -> int:
        """For selectors."""
        return self.sock.fileno()

    @property
    def waiting(self) -> bool:
        """Whether something is still to go out."""
        return bool(self._out)

    def send(
        self, name: str, words: dict[str, Any] | None = None, blob: bytes = b"", descriptors: Sequence[int] = ()
    ) -> None:
        """Send, or keep for `flush`; to an end that is gone, nothing. The descriptors stay the caller's, who may
        close them when `waiting` is over: they are doubled here."""
        assert name in NAMES, f"{name} is no message of ours"
        assert len(descriptors) <= MOST_DESCRIPTORS, f"{len(descriptors)} descriptors in one message"
        if self.closed:
            return
        text = json.dumps([name, words or {}]).encode()
        doubled = [os.dup(fd) for fd in descriptors]
        data = HEADER.pack(len(text), len(blob), len(doubled)) + text
        self._out.append((memoryview(data), doubled))
        if blob:
            self._out.append((memoryview(blob), []))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as that goes at once."""
        while self._out and not self.closed:
            data, descriptors = self._out[0]
            rights = [(SOL_SOCKET, SCM_RIGHTS, array("i", descriptors))] if descriptors else []
            try:
                sent = self.sock.sendmsg([data], rights)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            _close_all(descriptors)
            if sent == len(data):
                self._out.popleft()
            else:
                self._out[0] = (data[sent:], [])

    def receive(self) -> list[Message]:
        """What has come, whole messages only; `closed` says whether more may."""
        ended = False
        while not (ended or self.closed):
            try:
                data, rights, _, _ = self.sock.recvmsg(READ_BYTES, _ROOM_FOR_DESCRIPTORS, MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                break
            except OSError:
                data, rights = b"", []
            for level, kind, payload in rights:
                if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                    numbers = array("i")
                    numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
                    self._descriptors.extend(numbers)
            ended = not data
            self._in += data
        found = self._whole()
        if ended:
            self.close()
        return found

    def _whole(self) -> list[Message]:
        """The messages that are complete."""
        found = []
        at = 0
        while len(self._in) - at >= HEADER.size:
            text_bytes, blob_bytes, count = HEADER.unpack_from(self._in, at)
            if text_bytes + blob_bytes > LARGEST_BYTES or count > MOST_DESCRIPTORS:
                self.close()
                break
            middle = at + HEADER.size + text_bytes
            end = middle + blob_bytes
            if len(self._in) < end:
                break
            try:
                name, words = json.loads(self._in[at + HEADER.size : middle])
            except (ValueError, TypeError):
                self.close()
                break
            if len(self._descriptors) < count:  # a process that has no room for more gets fewer than were sent
                self.close()
                break
            descriptors = [self._descriptors.popleft() for _ in range(count)]
            found.append(Message(name, words, bytes(self._in[middle:end]), descriptors))
            at = end
        del self._in[:at]
        return found

    def close(self) -> None:
        """End it; what waited is dropped."""
        if self.closed:
            return
        self.closed = True
        self.on_close()
        for _, descriptors in self._out:
            _close_all(descriptors)
        self._out.clear()
        _close_all(self._descriptors)
        self._descriptors.clear()
        self.sock.close()


def _close_all(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)
