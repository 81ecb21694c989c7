"""The program that serves one Python function on a unix socket; the balancer starts as many as a pool asks for.

    python -m steelyard.backends.callable_server --function package.module:function --socket PATH --name images/0
                                                 [--task-timeout SECONDS] [--directory DIR] [--max-body BYTES]

The event loop has the main thread, the function a thread of its own: connects and `OPTIONS *` are answered while it
works. It listens when the function has been imported, and not before. It ends with

    0    told to (SIGTERM, SIGINT): what it has been given is finished
    1    the function held the interpreter for so long that not even the loop went on
    69   it cannot listen on the socket
    70   a task has run for longer than its timeout: its client was answered 504, the stack is in the log; whoever still
         waits is closed without a byte, so that the balancer may ask elsewhere
    78   the function cannot be had

Statuses above 1: sysexits.h (EX_UNAVAILABLE, EX_SOFTWARE, EX_CONFIG).
"""

import asyncio
import faulthandler
import io
import os
import signal
import socket
import stat
import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Final

from setproctitle import setproctitle

from steelyard.backends.function import Function, FunctionError, load, text_answer
from steelyard.backends.task_connection import Service, TaskConnection
from steelyard.backends.task_thread import Client, TaskThread
from steelyard.observe.streams import outlived, say

MAX_BODY: Final = 64 * 1024 * 1024
NO_SOCKET: Final = 69
STUCK: Final = 70
NO_FUNCTION: Final = 78

BACKLOG: Final = 1024
# After SIGTERM: what the balancer sent before it knew is still taken. One turn of a busy loop is far shorter.
LAST_CALL_S: Final = 0.05
# How long the 504 may take to leave before the process ends.
LAST_WORD_S: Final = 1.0


class CallableServer(Service):
    """One function on one socket. task_timeout_s: for each task; infinite is no limit."""

    def __init__(self, function: Function, name: str, task_timeout_s: float, max_body: int) -> None:
        super().__init__(name, max_body)
        self.loop = asyncio.get_running_loop()
        self.thread = TaskThread(self.loop, function, task_timeout_s, self)
        self._server: asyncio.Server | None = None
        self._stuck: Client | None = None
        self._ended: asyncio.Future[int] = self.loop.create_future()

    async def run(self, sock: socket.socket) -> int:
        """Serve until told to end; the status to end with."""
        path = sock.getsockname()
        file = os.stat(path)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._stop, path, file)
        self.thread.start()
        self._server = await self.loop.create_unix_server(lambda: TaskConnection(self), sock=sock, backlog=BACKLOG)
        status = await self._ended
        if status == 0:
            self.thread.stop()
        return status

    def _stop(self, path: str, file: os.stat_result) -> None:
        """Take nothing new; end when all is answered."""
        if self.stopping:
            return
        self.stopping = True
        with suppress(OSError):
            if os.path.samestat(file, os.stat(path)):  # and not that of a successor
                os.unlink(path)
        self.loop.call_later(LAST_CALL_S, self._close)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            if connection.idle:
                connection.close()
        self.on_idle()

    def on_closed(self, connection: TaskConnection) -> None:
        super().on_closed(connection)
        if connection is self._stuck:
            self._end(STUCK)
        self.on_idle()

    def on_idle(self) -> None:
        """End, if we are to, and nothing is left to do."""
        if self.stopping and self._server is None and not self.connections and not self.thread.busy:
            self._end(0)

    def on_stuck(self, client: Client) -> None:
        """The thread can do nothing any more: tell the one whose task it is, and end."""
        self.stopping = True
        self._stuck = client
        for connection in list(self.connections):
            if connection is not client:
                connection.abort()
        self.loop.call_later(LAST_WORD_S, self._end, STUCK)
        if client.gone:
            self._end(STUCK)
        else:
            client.on_answer(text_answer(504, "The function did not answer in time."))

    def _end(self, status: int) -> None:
        if not self._ended.done():
            self._ended.set_result(status)


def bound(path: str) -> socket.socket:
    """A unix socket on this path, for us alone; one that a dead process has left there is replaced.

    It does not listen yet: who can connect may send us a signal too, and that must be seen to first.
    Raises OSError, also where somebody listens on it.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        if _is_left_behind(path):
            os.unlink(path)
        sock.bind(path)
        os.chmod(path, 0o600)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _is_left_behind(path: str) -> bool:
    """Whether there is a socket that nobody listens on."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except FileNotFoundError:
        return False
    return False


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < inf:
        raise ValueError
    return value


def _arguments(words: list[str]) -> Namespace:
    parser = ArgumentParser(prog="callable_server", description="Serve a Python function on a unix socket.")
    parser.add_argument("--function", required=True, metavar="package.module:function")
    parser.add_argument("--socket", required=True, metavar="PATH")
    parser.add_argument("--name", required=True, help="of this process, as Task.worker says it")
    parser.add_argument("--task-timeout", type=_positive, default=inf, metavar="SECONDS", help="none without it")
    parser.add_argument("--directory", type=Path, help="where the module is looked for first")
    parser.add_argument("--max-body", type=int, default=MAX_BODY, metavar="BYTES", help="a longer one is a 413")
    return parser.parse_args(words)


def serve(words: list[str]) -> int:
    """Run the program with these arguments; the status to end with."""
    options = _arguments(words)
    setproctitle(f"steelyard: {options.name} {options.function}")
    try:
        function = load(options.function, options.directory and options.directory.resolve())
    except FunctionError as exc:
        say(str(exc), sys.stderr)
        return NO_FUNCTION
    try:
        sock = bound(options.socket)
    except OSError as exc:
        say(f"{options.socket}: cannot listen on it: {exc.strerror or exc}", sys.stderr)
        return NO_SOCKET

    async def run() -> int:
        return await CallableServer(function, options.name, options.task_timeout, options.max_body).run(sock)

    try:
        from uvloop import run as run_on_uvloop
    except ImportError:
        return asyncio.run(run())
    return run_on_uvloop(run())


def main() -> None:
    """Serve, and end the process."""
    with outlived():
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # what a function prints is passed on as it comes
        faulthandler.enable()
        status = serve(sys.argv[1:])
    if status == STUCK:
        os._exit(status)  # an ordinary end would wait for the thread
    sys.exit(status)


if __name__ == "__main__":
    main()
