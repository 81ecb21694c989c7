"""The access log: one JSON object a line for each exchange, written in batches off the request's path.

A record is a plain tuple made when an exchange ends; its line is made later, when the batch is written. At a stop
`close` writes what is left. A log that cannot be written costs records, never traffic:

- A file that refuses (a full disk) loses that batch; the next one is tried as ever, on a line of its own.
- A reader that stops (a pipe, a terminal, a socket) is never waited for: what it does not take is kept, up to
  MAX_BEHIND_BYTES; from there on records are lost until it has caught up.
- Either is said once, and so is how many records it cost, when the log goes on or is closed.

Nothing here sets O_NONBLOCK on a descriptor that others share: the flag belongs to the open file, and would make the
writes of a shell or of a sibling fail. Where the system can open it anew the flag is ours alone; else we look first
whether it can be written, and write no more than then fits for certain (PIPE_BUF).
"""

import json
import logging
import os
import select
import stat
import sys
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic, time
from typing import Final, NamedTuple

from steelyard.errors import ConfigError, Kind, Problem

FLUSH_S: Final = 0.5
# A burst is written sooner, so that the batch stays small in memory.
BATCH: Final = 2000
# What is kept for a reader that has stopped: half a minute of 1,000 requests a second.
MAX_BEHIND_BYTES: Final = 8 * 1024 * 1024
# What a stop waits for a reader at most.
CLOSE_S = 1.0
# Where the system shows our open files as paths (Linux): opening one anew gives flags of our own.
DESCRIPTORS = "/proc/self/fd"

_log = logging.getLogger("steelyard")


class Record(NamedTuple):
    """One exchange, ended.

    ended: monotonic seconds. client: IP address. method, target: as sent, or `-` when no head was understood.
    status: what the client was answered, 0 for nothing. word: of errors.py's table, or `-` when all went well.
    backend: `host:port` of the last try, or `-`. tries: how many. duration_s: from the head to the last byte.
    received, sent: body bytes from and to the client.
    """

    ended: float
    client: str
    listener: str
    method: str
    host: str
    target: str
    status: int
    word: str
    pool: str
    backend: str
    tries: int
    duration_s: float
    received: int
    sent: int


OnRecord = Callable[[Record], None]


def refused_record(ended: float, client: str, listener: str, kind: Kind, status: int) -> Record:
    """The record of bytes that were refused before they became a request. status: with which, 0 for none."""
    return Record(ended, client, listener, "-", "-", "-", status, kind.word, "-", "-", 0, 0.0, 0, 0)


def line(record: Record, clock_offset_s: float) -> str:
    """A record as JSON, its time in UTC. clock_offset_s: wall clock minus monotonic clock."""
    fields = record._asdict()
    ended = datetime.fromtimestamp(fields.pop("ended") + clock_offset_s, UTC)
    fields["duration_s"] = round(record.duration_s, 6)
    return json.dumps({"time": ended.isoformat(timespec="milliseconds"), **fields}, ensure_ascii=False)


class AccessLog:
    """Collects records and writes them to a file, `-` for standard output.

    Raises ConfigError when the file cannot be opened. Its methods never raise for what the file does, and never
    wait, but for `close`.
    """

    def __init__(self, loop: AbstractEventLoop, path: str) -> None:
        self.loop = loop
        self.path = path
        self.pending: list[Record] = []
        self.unwritten = bytearray()
        self.timer: TimerHandle | None = None
        self.fd = _standard_output() if path == "-" else _opened(path)
        self.regular = stat.S_ISREG(os.fstat(self.fd).st_mode)
        self.poll = select.poll()
        self.poll.register(self.fd, select.POLLOUT)
        self.within_line = False  # the last byte that was written ends no line
        self.failed = False
        self.behind = False
        self.lost = 0

    def add(self, record: Record) -> None:
        """Take in a record; its line is written within FLUSH_S, if the file takes it."""
        self.pending.append(record)
        if self.timer is None:
            self.timer = self.loop.call_later(FLUSH_S, self.flush)
        elif len(self.pending) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write all that was collected, as far as that goes at once."""
        if self._flush(0.0):
            self.timer = self.loop.call_later(FLUSH_S, self.flush)

    def close(self, patience_s: float | None = None) -> None:
        """Write the rest, for at most patience_s (None: CLOSE_S), and close the file; later records are forgotten."""
        if self.fd < 0:
            return
        self._flush(CLOSE_S if patience_s is None else patience_s)
        self.lost += _records_in(self.unwritten)
        self.unwritten.clear()
        if self.lost:
            _log.error("access log %s: records lost: %d", self.path, self.lost)
        with suppress(OSError):  # what it says now it has said before, or is too late to mend
            os.close(self.fd)
        self.fd = -1

    def _flush(self, patience_s: float) -> bool:
        """Whether something is left that its reader may take later."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        records, self.pending = self.pending, []
        if self.fd < 0:
            return False
        self._take_in(records)
        if not self.unwritten:
            return False
        try:
            self._write(monotonic() + patience_s)
        except OSError as exc:
            self._give_up(exc)
            return False
        if self.unwritten:
            return True
        self._go_on()
        return False

    def _take_in(self, records: list[Record]) -> None:
        """Make lines of the records, unless too many wait already."""
        if not self.behind:
            offset_s = time() - monotonic()
            # A lone surrogate cannot be encoded, but escaped it is JSON all the same.
            lines = "".join(line(record, offset_s) + "\n" for record in records).encode("utf-8", "backslashreplace")
            if not self.unwritten or len(self.unwritten) + len(lines) <= MAX_BEHIND_BYTES:
                self.unwritten += lines
                return
            self.behind = True
            what = "its reader is %d MiB behind; records are lost until it has caught up"
            _log.error(f"access log %s: {what}", self.path, MAX_BEHIND_BYTES >> 20)
        self.lost += len(records)

    def _write(self, deadline: float) -> None:
        """Write until all is written, or the reader takes no more by the deadline. Raises OSError."""
        while self.unwritten:
            if self.regular:
                end = len(self.unwritten)
            else:
                wait_ms = max(0.0, deadline - monotonic()) * 1000
                if not self.poll.poll(wait_ms):
                    return
                # Whole lines where they fit, so that what others write to the same pipe comes between them.
                end = self.unwritten.rfind(b"\n", 0, select.PIPE_BUF) + 1 or select.PIPE_BUF
            try:
                with memoryview(self.unwritten) as whole, whole[:end] as piece:
                    count = os.write(self.fd, piece)
            except BlockingIOError:  # somebody else filled it since we looked
                return
            self.within_line = self.unwritten[count - 1 : count] != b"\n"
            del self.unwritten[:count]

    def _give_up(self, exc: OSError) -> None:
        """What waits is lost. A line that is half written is ended before the next one."""
        self.lost += _records_in(self.unwritten)
        self.unwritten[:] = b"\n" if self.within_line else b""
        self.behind = False
        if not self.failed:
            self.failed = True
            _log.error("access log %s: %s; records are lost until it can be written again", self.path, exc)

    def _go_on(self) -> None:
        """All is written: say what was lost on the way, if anything."""
        if self.lost:
            _log.error("access log %s: goes on; records lost: %d", self.path, self.lost)
        self.failed = self.behind = False
        self.lost = 0


def _records_in(unwritten: bytearray) -> int:
    """How many records have not been written whole. A line's end that comes first adds none: it only ends a line."""
    return unwritten.count(b"\n") - unwritten.startswith(b"\n")


def _opened(path: str) -> int:
    # O_NONBLOCK: a FIFO that nobody reads is refused, where a plain open would wait for its reader.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        return os.open(path, flags, 0o666)
    except OSError as exc:
        mend = "name a file that may be written, '-' for standard output, or off"
        problem = Problem("configuration", "access_log", f"cannot be written: {exc.strerror}", path, mend)
        raise ConfigError([problem]) from exc


def _standard_output() -> int:
    """A descriptor of our own for it: opened anew and non-blocking where that can be, else a second one."""
    try:
        fd = sys.stdout.fileno()
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            with suppress(OSError):  # sockets cannot, nor a terminal of another user
                return os.open(f"{DESCRIPTORS}/{fd}", os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        return os.dup(fd)
    except (OSError, ValueError, AttributeError) as exc:  # None, closed, or an object that only prints
        mend = "name a file, or start with standard output open (such as >/dev/null)"
        problem = Problem("configuration", "access_log", "standard output is closed, or is no file", "-", mend)
        raise ConfigError([problem]) from exc
