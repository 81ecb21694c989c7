"""The access log: one JSON object a line for each exchange, written in batches off the request's path.

A record is a plain tuple made when an exchange ends; its line is made later, when the batch is written. Nothing
is lost at a stop: `close` writes what is left. A log that cannot be written is said once and costs no traffic.
"""

import json
import logging
import sys
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, time
from typing import IO, Final, NamedTuple

from steelyard.errors import ConfigError, Kind, Problem

FLUSH_S: Final = 0.5
# A burst is written sooner, so that the batch stays small in memory.
BATCH: Final = 2000

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


def refused_record(ended: float, client: str, listener: str, kind: Kind) -> Record:
    """The record of bytes that were refused before they became a request."""
    return Record(ended, client, listener, "-", "-", "-", kind.status, kind.word, "-", "-", 0, 0.0, 0, 0)


def line(record: Record, clock_offset_s: float) -> str:
    """A record as JSON, its time in UTC. clock_offset_s: wall clock minus monotonic clock."""
    fields = record._asdict()
    ended = datetime.fromtimestamp(fields.pop("ended") + clock_offset_s, UTC)
    fields["duration_s"] = round(record.duration_s, 6)
    return json.dumps({"time": ended.isoformat(timespec="milliseconds"), **fields}, ensure_ascii=False)


class AccessLog:
    """Collects records and writes them to a file, `-` for standard output.

    Raises ConfigError when the file cannot be opened.
    """

    def __init__(self, loop: AbstractEventLoop, path: str) -> None:
        self.loop = loop
        self.path = path
        self.pending: list[Record] = []
        self.timer: TimerHandle | None = None
        self.file: IO[str] = sys.stdout if path == "-" else _opened(path)
        self.failed = False

    def add(self, record: Record) -> None:
        """Take in a record; its line is written within FLUSH_S."""
        self.pending.append(record)
        if self.timer is None:
            self.timer = self.loop.call_later(FLUSH_S, self.flush)
        elif len(self.pending) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write all that was collected."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        records, self.pending = self.pending, []
        offset_s = time() - monotonic()
        try:
            self.file.write("".join(line(record, offset_s) + "\n" for record in records))
            self.file.flush()
        except OSError as exc:
            if not self.failed:
                self.failed = True
                _log.error("access log %s: %s; records are lost until it can be written again", self.path, exc)
        else:
            self.failed = False

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        if self.path != "-":
            self.file.close()


def _opened(path: str) -> IO[str]:
    try:
        return open(path, "a", encoding="utf-8")
    except OSError as exc:
        mend = "name a file that may be written, '-' for standard output, or off"
        problem = Problem("configuration", "access_log", f"cannot be written: {exc.strerror}", path, mend)
        raise ConfigError([problem]) from exc
