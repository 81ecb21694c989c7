"""Standard output and error of a program that outlives those who read them.

`steelyard run ... | head -1` leaves a pipe that nobody reads, a supervisor may start us with a stream closed. A
balancer goes on in both cases: what it says is for people, what it passes on is for its clients. Nor does it wait for
a reader that has stopped (`| less`).
"""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

# The most that is written at once: a pipe that takes something takes that much (pipe(7)).
PIECE_BYTES: Final = select.PIPE_BUF
LONGEST_CHARACTER: Final = 4  # bytes in UTF-8


@contextmanager
def outlived() -> Iterator[None]:
    """Within it every standard stream is one, and after it none has anything left that would fail at exit."""
    _replace_closed()
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


def say(line: str, stream: TextIO) -> None:
    """Print a line at once, or not, where it cannot be written; of a very long one, as much as can be."""
    text = f"{line}\n"  # in one piece, if it is not too long: an unbuffered print writes the line's end by itself
    size = PIECE_BYTES if line.isascii() else PIECE_BYTES // LONGEST_CHARACTER
    for at in range(0, len(text), size):
        if not takes(stream):
            return
        with suppress(OSError):
            stream.write(text[at : at + size])
            stream.flush()


def takes(stream: TextIO) -> bool:
    """Whether PIECE_BYTES can be written to it without waiting for its reader."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), select.POLLOUT)
    except (OSError, ValueError):  # no descriptor: it keeps what is written, or fails at once
        return True
    return bool(poll.poll(0))


def has_terminal() -> bool:
    """Whether this process has a terminal, and it is open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _replace_closed() -> None:
    """Open the null device for each closed stream.

    Its number would else be given to the next socket: print would write to a client, and uvloop ends the whole
    process (an assertion in libuv) when it closes a descriptor below 3.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # in this order, as the lowest free number is taken
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open to the end


def _let_go(stream: TextIO) -> None:
    """Drop what cannot be written, as Python would try again at exit and say 120 for it."""
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
