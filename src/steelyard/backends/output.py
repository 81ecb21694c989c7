"""What a local backend says, as lines of text. Pure.

They go to a terminal and to logs: what would move its cursor, colour it or make two lines of one is shown as it is
written in Python, such as \\x1b.
"""

import re
from collections import deque
from typing import Final

LONGEST_BYTES: Final = 4096  # a longer line goes on in the next one: no writer can make us keep more
KEPT: Final = 10  # lines; enough for the end of a traceback, which is where the reason stands
# C0 but for the tab, DEL, C1, what ends a line elsewhere, and what turns the direction of writing (Unicode UAX 9).
_CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Lines:
    """Bytes as they come, cut into lines. last: the latest ones, the newest at the end."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=KEPT)
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """More bytes; the lines that are whole by now."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        found = [piece for line in whole for piece in _pieces(line)]
        if len(self._rest) > LONGEST_BYTES:
            *pieces, self._rest = _pieces(self._rest)
            found += pieces
        return self._kept(found)

    def end(self) -> list[str]:
        """Nothing more will come: what is left, if anything is."""
        rest, self._rest = self._rest, b""
        return self._kept(_pieces(rest) if rest else [])

    def _kept(self, found: list[bytes]) -> list[str]:
        lines = [_shown(line.rstrip(b"\r").decode(errors="backslashreplace")) for line in found]
        self.last.extend(line for line in lines if line.strip())
        return lines


def _pieces(line: bytes) -> list[bytes]:
    return [line[at : at + LONGEST_BYTES] for at in range(0, max(len(line), 1), LONGEST_BYTES)]


def _shown(line: str) -> str:
    return line if line.isprintable() else _CONTROL.sub(lambda match: ascii(match[0])[1:-1], line)
