"""A running balancer as the commands see it: a socket in a directory of the test's own, and one answer to each line."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from steelyard.cli.main import app


class Running:
    """One balancer. asked: what it was asked; answer: what it says to that; None: it ends without a word."""

    def __init__(self, path: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Any = {}
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self.sock.accept()
            except OSError:  # shut down
                return
            with caller, caller.makefile("rb") as lines:
                if not (line := lines.readline()):  # somebody only looked whether we live
                    continue
                self.asked.append(json.loads(line))
                if self.answer is not None:
                    caller.sendall(
                        self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode() + b"\n"
                    )

    def close(self) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.sock.close()


@contextmanager
def several(directory: Path, monkeypatch: pytest.MonkeyPatch, *pids: int) -> Iterator[list[Running]]:
    """Balancers with these process ids."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(directory))
    balancers = [Running(directory / f"{pid}.sock") for pid in pids]
    try:
        yield balancers
    finally:
        for one in balancers:
            one.close()


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200", "NO_COLOR": "1"})
