"""The process of one pool worker: it takes tasks from its socket, one after the other, and sends what came of each.

An answer goes out as soon as it is there, never with the next one: so at any time the first task without an answer is
the one that is worked at, and when the process dies everybody knows which one that was. It ends when its socket does,
or with its parent, whatever it is at.
Standard library alone, and little of it: a worker is ready when the function is imported.
"""

import ctypes
import os
import pickle
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, NamedTuple

from steelyard.backends import pool_wire as wire
from steelyard.backends.importable import MAIN, LaterMain, Source, find, importing
from steelyard.backends.results import CANNOT_SAY

PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class Setup(NamedTuple):
    """What a worker is told first: its name, the function's, the arguments and the main module of the program."""

    name: str
    function: str
    argv: list[str]
    main: Source | None


class Raised(NamedTuple):
    """An exception on its way: its type's name, its text, the traceback; and itself, where it can be pickled."""

    kind: str
    text: str
    trace: str
    pickled: bytes | None


def main() -> None:
    """Run as a process. Its arguments: the descriptors of its socket and of its permits, the number of its parent."""
    descriptor, of_permits, parent = map(int, sys.argv[1:4])
    die_with(parent)
    sock = socket.socket(fileno=descriptor)
    permits = socket.socket(fileno=of_permits)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            serve(sock, permits)
    finally:
        # Left open, so that they close when the process has ended, with its threads and what is to be done at exit.
        sock.detach()
        permits.detach()


def die_with(parent: int) -> None:
    """Be killed when the parent ends (also when it is killed), even in the middle of a task."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def serve(sock: socket.socket, permits: socket.socket) -> None:
    """Be set up, then do what is permitted, until the permits end, or the socket."""
    tasks = Tasks(sock)
    try:
        with importing():
            function = prepare(Setup(*pickle.loads(tasks.setup())))
    except BaseException as exc:
        sock.sendall(wire.frame(wire.BROKEN, pickle.dumps(describe(exc), wire.PROTOCOL)))
        return
    sock.sendall(wire.frame(wire.READY, b""))
    pid = os.getpid()
    while (number := next_permit(permits)) is not None:
        body = tasks.get(number)
        began = perf_counter()
        kind, content = work(function, body)
        if os.getpid() != pid:  # the function has forked, and both have come back: one of them answers
            os._exit(0)
        sock.sendall(wire.frame(kind, content, perf_counter() - began))


def next_permit(permits: socket.socket) -> int | None:
    """The number of the next task, which is begun by that; None: there will be none."""
    try:
        read = permits.recv(wire.NUMBER.size, socket.MSG_DONTWAIT)
    except BlockingIOError:
        # What functions print is seen when the worker rests, also where it goes to a pipe.
        with suppress(Exception):  # one has closed or replaced it, or nobody takes it: no reason to end
            sys.stdout.flush()
        read = permits.recv(wire.NUMBER.size)
    return None if not read else int(wire.NUMBER.unpack(read)[0])


class Tasks:
    """What has come over the socket, and was not asked for yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._frames = wire.Frames()
        self._come: deque[bytes] = deque()

    def setup(self) -> bytes:
        """What is sent before all tasks."""
        return self._next()

    def get(self, number: int) -> memoryview:
        """The pickle of a task. Those before it were taken back."""
        while True:
            body = self._next()
            if wire.NUMBER.unpack_from(body)[0] == number:
                return memoryview(body)[wire.NUMBER.size :]

    def _next(self) -> bytes:
        while not self._come:
            data = self._sock.recv(wire.READ_BYTES)
            if not data:
                raise ConnectionResetError("the parent has closed the socket")
            self._come.extend(body for _, _, body in self._frames.feed(data))
        return self._come.popleft()


def prepare(setup: Setup) -> Callable[[Any], Any]:
    """Make this process one in which the function can be found, and find it."""
    sys.argv[:] = setup.argv
    sys.modules[MAIN] = LaterMain(setup.main)
    with suppress(ImportError):
        from setproctitle import setproctitle

        setproctitle(f"steelyard: {setup.name}")
    return find(setup.function)


def work(function: Callable[[Any], Any], body: bytes | memoryview) -> tuple[int, bytes]:
    """Do one task. Returns the kind of the answer and its content; never raises."""
    try:
        task = pickle.loads(body)
    except BaseException as exc:
        return wire.UNREADABLE, pickle.dumps(describe(exc), wire.PROTOCOL)
    try:
        value = function(task)
    except BaseException as exc:  # also exit(): a function does not mean the worker
        return wire.RAISED, pickle.dumps(describe(exc), wire.PROTOCOL)
    try:
        return wire.VALUE, pickle.dumps(value, wire.PROTOCOL)
    except BaseException as exc:
        told = describe(exc)._replace(kind=_plain(type(value).__name__))
        return wire.UNPICKLABLE, pickle.dumps(told, wire.PROTOCOL)


def describe(exc: BaseException) -> Raised:
    """All that can be carried of an exception, without our own frame."""
    below = exc.__traceback__.tb_next if exc.__traceback__ is not None else None
    try:
        text = _plain(str(exc))
    except BaseException:
        text = CANNOT_SAY
    try:
        trace = "".join(traceback.format_exception(type(exc), exc, below))
    except BaseException:
        trace = CANNOT_SAY
    try:
        pickled = pickle.dumps(exc, wire.PROTOCOL)
    except BaseException:
        pickled = None
    return Raised(_plain(type(exc).__name__), text, trace, pickled)


def _plain(text: str) -> str:
    """The same as a str and nothing else: a class of the function's own may not be carried."""
    return "".join(("", text))
