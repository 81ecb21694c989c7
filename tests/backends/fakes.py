"""In place of processes, and of what drives them: time passes when a test says so."""

import errno
import os
import signal
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

from steelyard.backends.wanted import Wanted

# Descriptors that nothing has: only their numbers count here.
FIRST_FD: Final = 1_000_000


class FakeReactor:
    """A clock, calls that are due later, and readers that a test calls."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, int, Callable[[], None]]] = []
        self.readers: dict[int, Callable[[], None]] = {}
        self._numbers = count()

    def clock(self) -> float:
        return self.now

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        self.calls.append((self.now + delay_s, next(self._numbers), call))

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        assert fd not in self.readers
        self.readers[fd] = call

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)

    def wait(self, seconds: float = 0.0) -> None:
        """Time passes, and what is due is done, each at its time."""
        end = self.now + seconds
        while due := [call for call in self.calls if call[0] <= end + 1e-9]:
            first = min(due)
            self.calls.remove(first)
            self.now = max(self.now, first[0])
            first[2]()
        self.now = end


class FakeProcess:
    """In place of a Process. code: with which it has ended."""

    def __init__(self, number: int, reactor: FakeReactor, obedient: bool) -> None:
        self.pid = 1 + number
        self.exit_fd = FIRST_FD + 2 * number
        self.output_fd = self.exit_fd + 1
        self.reactor = reactor
        self.obedient = obedient
        self.output: list[bytes] = []
        self.signals: list[int] = []
        self.code: int | None = None
        self.finished = False

    def read(self) -> bytes | None:
        if self.output:
            return self.output.pop(0)
        return None if self.code is None else b""

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL or self.obedient:
            self.reactor.after(0.0, lambda: self.ends(-number))

    def finish(self) -> int:
        assert self.code is not None
        assert not self.finished
        self.finished = True
        return self.code

    def says(self, data: bytes) -> None:
        self.output.append(data)
        self.reactor.readers[self.output_fd]()

    def ends(self, code: int) -> None:
        if self.code is None:
            self.code = code
            self.reactor.readers[self.exit_fd]()


class FakeLaunch:
    """Starts nobody. started: all that would have been. refuses: so often there is no room for another process."""

    def __init__(self, reactor: FakeReactor) -> None:
        self.reactor = reactor
        self.started: list[FakeProcess] = []
        self.keys: list[str] = []
        self.refuses = 0
        self.obedient = True

    def __call__(self, wanted: Wanted, user: Mapping[str, Any] | None = None) -> FakeProcess:
        if self.refuses:
            self.refuses -= 1
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.started.append(FakeProcess(len(self.started), self.reactor, self.obedient))
        self.keys.append(wanted.key)
        return self.started[-1]

    @property
    def last(self) -> FakeProcess:
        return self.started[-1]


def a_wanted(name: str = "web/0", **other: Any) -> Wanted:
    """One that listens at a port, where nobody does."""
    values: dict[str, Any] = {
        "key": f"{name}@127.0.0.1:1",
        "name": name,
        "where": "app.yaml:7: pools.web.backends[0].run",
        "value": "serve {port}",
        "argv": ("serve", "1"),
        "directory": "",
        "environment": {},
        "host": "127.0.0.1",
        "port": 1,
        "path": None,
        "protocol": "http",
        "core": None,
        "ready_timeout_s": 30.0,
        "stop_timeout_s": 10.0,
    }
    return Wanted(**{**values, **other})
