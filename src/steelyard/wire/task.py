"""The task protocol: `AppID:{kind}:{approach}` from a client, `AppID:{kind}` to a worker, any bytes back, a close.

kind says what is to be done, and means something to workers alone: a token (RFC 9110 section 5.6.2). approach names the
policy by which the worker is chosen; without it, `AppID:{kind}`, the pool's own is meant.

A request has no end: its clients write it at once, and neither end the line nor close their side. So whether it is
whole is a judgement (`progress`): a line's end says so, and so does a known approach that no other one begins with; no
built-in one does. All else may go on, and whether it does only time can tell: the caller gives what could stand as it
is (PERHAPS), or could still become a request (NOT_YET), a while each, and then has it read (`parse`) as it stands. So
what a request comes to does not depend on how its bytes were cut, unless they come slower than that; a client whose
bytes may should end the line. What comes behind a whole request is an error wherever it is cut off, but for the line's
end.

Errors are a ProtocolError, whose detail is for the client: what is wrong, the value, and the mend, in one line.
"""

import re
from collections.abc import Collection
from difflib import get_close_matches
from enum import Enum
from typing import Final, NamedTuple

from steelyard.errors import APPROACH_UNKNOWN, BAD_TASK, TASK_TOO_LONG, ProtocolError

MAX_BYTES: Final = 1024  # what the first broker read at most; the line's end counts
PREFIX: Final = b"AppID:"
ERROR: Final = b"ERROR: "
SHOWN_BYTES: Final = 60  # of what was sent: enough to recognise it
LIKENESS: Final = 0.6  # difflib's own measure
MEND: Final = "write AppID:KIND:APPROACH, such as AppID:Long:least_connections"

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST: Final = re.compile(PREFIX + rb"(%b)(?::([^\r\n]+))?" % _TOKEN)
# What a request begins with, up to the approach: none of it, a part, or all.
_BEGUN: Final = re.compile(PREFIX + rb"(?:%b(?::([^\r\n]*))?)?" % _TOKEN)


class Task(NamedTuple):
    """A request that was read. approach: None where it names none."""

    kind: str
    approach: str | None

    @property
    def forwarded(self) -> bytes:
        """What its worker gets."""
        return PREFIX + self.kind.encode()


class Progress(Enum):
    """How far a request has come, whose bytes so far are these."""

    WHOLE = "whole"  # to be read now: as a request, or as an error
    PERHAPS = "perhaps"  # a request as it stands, and could be the beginning of another one
    NOT_YET = "not yet"  # the beginning of a request
    NEVER = "never"  # of none; but what more is coming belongs to what is wrong


def progress(data: bytes, names: Collection[str]) -> Progress:
    """How far the request in data has come. names: of the approaches that there are."""
    if b"\n" in data or len(data) > MAX_BYTES:
        return Progress.WHOLE
    found = _REQUEST.fullmatch(data)
    approach = found[2].decode("latin-1") if found is not None and found[2] is not None else None
    if found is not None and approach is None:
        return Progress.PERHAPS
    if approach is not None and approach in names:
        return Progress.PERHAPS if _others(approach, names) else Progress.WHOLE
    line = data.removesuffix(b"\r")
    if PREFIX.startswith(data) or (line != data and _is_request(line, names)):
        return Progress.NOT_YET
    begun = _BEGUN.fullmatch(data)
    if begun is not None and (begun[1] is None or _others(begun[1].decode("latin-1"), names)):
        return Progress.NOT_YET
    return Progress.NEVER


def parse(data: bytes, names: Collection[str]) -> Task:
    """The request that these bytes are, with or without a line's end. Raises ProtocolError. names: as above."""
    if len(data) > MAX_BYTES:
        raise ProtocolError(TASK_TOO_LONG, f"the request is longer than {MAX_BYTES} bytes; {MEND}")
    line, ended, behind = data.partition(b"\n")
    if behind:
        raise ProtocolError(BAD_TASK, f"{shown(behind)} behind the request; a connection takes one request")
    if ended:
        line = line.removesuffix(b"\r")
    found = _REQUEST.fullmatch(line)
    if found is None:
        raise _refused(line, names)
    kind = found[1].decode("ascii")
    if found[2] is None:
        return Task(kind, None)
    approach = found[2].decode("latin-1")
    if approach not in names:
        raise ProtocolError(APPROACH_UNKNOWN, f"unknown approach {shown(found[2])}; {_mend(approach, names)}")
    return Task(kind, approach)


def ends_line(request: bytes, data: bytes) -> bool:
    """Whether this, behind a request that was whole without it, is the end of its line, or a beginning of that."""
    if len(request) + len(data) > MAX_BYTES:  # in one piece it would have been too long
        return False
    return request[len(request.rstrip(b"\r\n")) :] + data in (b"\n", b"\r", b"\r\n")


def error_line(text: str) -> bytes:
    """What a client is told in place of an answer. text: what is wrong and the mend; made one line of ASCII."""
    line = "".join(mark if mark.isprintable() else "?" for mark in text)
    return ERROR + line.encode("ascii", "backslashreplace") + b"\n"


def shown(data: bytes) -> str:
    """Somebody's bytes as a quotation: in one line, and not too much of them."""
    more = "..." if len(data) > SHOWN_BYTES else ""
    return repr(data[:SHOWN_BYTES])[1:] + more


def _is_request(line: bytes, names: Collection[str]) -> bool:
    found = _REQUEST.fullmatch(line)
    return found is not None and (found[2] is None or found[2].decode("latin-1") in names)


def _others(begun: str, names: Collection[str]) -> list[str]:
    """The names that go on where this one ends."""
    return sorted(name for name in names if name.startswith(begun) and name != begun)


def _refused(line: bytes, names: Collection[str]) -> ProtocolError:
    """What is wrong with a line that is no request."""
    begun = _BEGUN.fullmatch(line)
    if begun is not None and begun[1] == b"":
        what = f"no approach behind the last colon of {shown(line)}"
        return ProtocolError(APPROACH_UNKNOWN, f"{what}; {_mend('', names)}")
    if not line.startswith(PREFIX):
        return ProtocolError(BAD_TASK, f"{shown(line)} is no request; {MEND}")
    kind = line.removeprefix(PREFIX).partition(b":")[0]
    what = f"{shown(kind)} is no kind of work" if kind else "there is no kind of work"
    return ProtocolError(BAD_TASK, f"{what} in {shown(line)}; {MEND}")


def _mend(approach: str, names: Collection[str]) -> str:
    """What was probably meant; else what there is."""
    known = sorted(names)
    likely = (_others(approach, names) if approach else []) or get_close_matches(
        approach.lower(), known, n=1, cutoff=LIKENESS
    )
    return f"did you mean {' or '.join(likely)}?" if likely else f"known: {', '.join(known)}"
