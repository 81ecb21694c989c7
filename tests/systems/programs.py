"""Programs as a person starts them, ended by their own process id; their output, line by line; and a plain client."""

import http.client
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
HOST: Final = "127.0.0.1"
# Far more than anything takes, on a slow machine that stands still now and then, too: only a test that is going to fail
# waits so long.
PATIENCE_S: Final = 50.0
# For `variant`: checks that wait for a server that stands still, as the first result counts at once.
PATIENT_CHECKS: Final = "path: /health} -> path: /health, interval: 60s, timeout: 60s}"


class Program:
    """A running Python program. said: the lines of its output, both streams, that were waited for so far."""

    def __init__(self, *arguments: object, **environ: str) -> None:
        self.said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))

    def until(self, pattern: str) -> re.Match[str]:
        """The next line in which the pattern is found; fails when it does not come."""
        give_up = monotonic() + PATIENCE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, give_up - monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {pattern!r} in:\n" + "\n".join(self.said)) from None
            self.said.append(line)
            if found := re.search(pattern, line):
                return found

    def port(self) -> int:
        """Where it says that it listens."""
        return int(self.until(r"(?:listening|listens) on http://[\w.]+:(\d+)")[1])

    def rest(self) -> list[str]:
        """What else it said until now."""
        while not self._lines.empty():
            self.said.append(self._lines.get())
        return self.said

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal, if it still runs; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()


@contextmanager
def program(*arguments: object, **environ: str) -> Iterator[Program]:
    """A program that is ended at the end of the block."""
    running = Program(*arguments, **environ)
    try:
        yield running
    finally:
        running.end()


def variant(example: Path, target: Path, **changes: str) -> Path:
    """A copy of an example's file with other values, each of which stands there exactly once.

    changes: names are free, values are `old -> new`.
    """
    text = example.read_text(encoding="utf-8")
    for change in changes.values():
        old, _, new = change.partition(" -> ")
        assert 1 == text.count(old), f"{old!r} in {example}"
        text = text.replace(old, new)
    target.write_text(text, encoding="utf-8")
    return target


class Reply:
    """An answer: status, fields and body."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.fields = answer.headers
        self.text = answer.read().decode()


def get(port: int, path: str = "/", **fields: str) -> Reply:
    """GET over a connection of its own; fields: with `_` for `-`."""
    return get_on_one_connection(port, [path], **fields)[0]


def get_on_one_connection(port: int, paths: list[str], **fields: str) -> list[Reply]:
    """GETs one after the other over one connection, which must stay the same."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    replies = []
    try:
        connection.connect()
        sock = connection.sock
        for path in paths:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in fields.items()})
            replies.append(Reply(connection.getresponse()))
            assert path == paths[-1] or connection.sock is sock, "the connection was closed between two requests"
    finally:
        connection.close()
    return replies
