"""The Date line of answers that have none: our own, and those of backends that say no date.

Source: RFC 9110 section 6.6.1; rendered once a second at the most.
"""

from email.utils import formatdate
from time import time


class DateLine:
    """Call it for the line; it is the same object within a second."""

    def __init__(self) -> None:
        self.second = 0
        self.line = b""

    def __call__(self) -> bytes:
        now = int(time())
        if now != self.second:
            self.second = now
            self.line = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self.line
