"""A worker's process: what the supervisor says becomes calls of a Worker, one after the other.

    python -m steelyard.processes.worker_process NUMBER CHANNEL_FD TABLE_FD WORKERS ROWS TITLE

It ends when it is told to, or when the supervisor is gone: then nobody would replace it, or its sockets, so it
finishes what it has and leaves the port to whoever comes next.
"""

import asyncio
import logging
import os
import resource
import signal
import sys
from mmap import mmap
from pathlib import Path
from socket import socket
from time import monotonic
from typing import Any, Final

from setproctitle import setproctitle

from steelyard.core import table as cells
from steelyard.core.table import Table
from steelyard.errors import SteelyardError
from steelyard.observe import log
from steelyard.observe.streams import outlived
from steelyard.processes import collector, loop
from steelyard.processes.channel import Message
from steelyard.processes.snapshot import Snapshot, unpack
from steelyard.processes.wire import Wire
from steelyard.worker import Change, Paces, Worker

BEAT_S: Final = 1.0
RECENT: Final = 256  # requests, a few hundred bytes each

_log = logging.getLogger("steelyard")


class WorkerProcess:
    """One worker and its channel. sockets: those that came and were not asked for yet, by key."""

    def __init__(self, number: int, channel: socket, table: Table) -> None:
        self.number = number
        self.loop = asyncio.get_running_loop()
        self.table = table
        self.worker = Worker(table, recent=RECENT)
        self.wire = Wire(self.loop, channel, self._on_message, self._on_end)
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.sockets: dict[str, list[socket]] = {}
        self.prepared: Change | None = None
        self.why_not = "nothing was prepared"
        self.paces = Paces()
        self.stopped = asyncio.Event()
        self.drain: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Do what is said until the end is."""
        self._beat()
        following = self.loop.create_task(self._follow())
        await self.stopped.wait()
        following.cancel()

    def _beat(self) -> None:
        """Show that the loop comes round."""
        self.table.set_mine(cells.BALANCER, cells.BEAT, int(monotonic() * 1000))
        self.table.set_mine(cells.BALANCER, cells.CLIENTS, self.worker.clients())
        self.loop.call_later(BEAT_S, self._beat)

    def _on_message(self, message: Message) -> None:
        if message.name == "stop":  # at once, whatever else goes on
            self._stop(message.words["drain_s"])
        else:
            self.messages.put_nowait(message)

    def _on_end(self) -> None:
        if self.drain is None:
            _log.warning("worker %d: the supervisor is gone; finishing what is in flight", self.number)
            self._stop(self.worker.spec.drain_timeout_s)

    def _stop(self, drain_s: float) -> None:
        before = self.drain
        self.drain = self.loop.create_task(self._drain(before, drain_s))

    async def _drain(self, before: "asyncio.Task[None] | None", drain_s: float) -> None:
        if before is not None:
            before.cancel()
            await asyncio.wait([before])
        await self.worker.stop(drain_s)
        self.stopped.set()

    async def _follow(self) -> None:
        """Take the messages in their order."""
        while True:
            message = await self.messages.get()
            try:
                answer = await self._do(message)
            except SteelyardError as exc:
                answer = {"failed": str(exc)}
            except Exception as exc:  # a bug: who asked must hear of it, and the traffic goes on
                _log.exception("worker %d: %s failed", self.number, message.name)
                answer = {"failed": f"{type(exc).__name__}: {exc}"}
            if "id" in message.words:
                self.wire.send("answer", {**answer, "id": message.words["id"]})

    async def _do(self, message: Message) -> dict[str, Any]:
        match message.name:
            case "sockets":
                for key, fd in zip(message.words["keys"], message.descriptors, strict=True):
                    self.sockets.setdefault(key, []).append(socket(fileno=fd))
            case "prepare":
                await self._prepare(message.blob)
            case "commit":
                return await self._commit()
            case "drop":
                self._drop()
            case "ask":
                return self._answer(message.words)
        return {}

    async def _prepare(self, blob: bytes) -> None:
        if self.prepared is not None:
            self.worker.abandon(self.prepared)
            self.prepared = None
        self.paces = Paces()
        try:
            snapshot: Snapshot = await unpack(blob, self.paces.rest)
            beside = Path(snapshot.beside) if snapshot.beside else None
            self.prepared = await self.worker.prepare(snapshot.spec, snapshot.rows, self.paces, beside)
        except SteelyardError as exc:
            self.why_not = str(exc)
            raise

    async def _commit(self) -> dict[str, Any]:
        change, self.prepared = self.prepared, None
        if change is None:
            _log.error("worker %d: cannot serve by the configuration in force: %s", self.number, self.why_not)
            if not self.worker.listeners:  # nothing serves here: perhaps another in our place can
                self.stopped.set()
            return {"failed": self.why_not}
        first = not self.worker.listeners
        await self.worker.switch(change, self.sockets, self.paces)
        self._forget_sockets()
        if first:
            collector.settle()
        return {"pause_s": self.paces.longest_s}

    def _drop(self) -> None:
        if self.prepared is not None:
            self.worker.abandon(self.prepared)
            self.prepared = None
        self._forget_sockets()

    def _forget_sockets(self) -> None:
        """Those that a listener has taken are its own; the others nobody wants any more."""
        for key, sockets in self.sockets.items():
            if key not in self.worker.listeners:
                for sock in sockets:
                    sock.close()
        self.sockets = {}

    def _answer(self, words: dict[str, Any]) -> dict[str, Any]:
        """The latest requests, with those parts of them that are asked for."""
        assert self.worker.recent is not None
        seen = [
            [listener, pool, backend, {part: request.get(part) for part in words["parts"]}]
            for request, listener, pool, backend in self.worker.recent.latest()
        ]
        return {"seen": seen}


def raise_file_limit() -> None:
    """Take as many descriptors as the system lets us: each client and each kept backend connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ignore_signals() -> None:
    """They are for the supervisor; whoever means one process alone has SIGKILL, after which another one is started."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    """Run one worker."""
    ignore_signals()
    number, channel_fd, memory_fd, workers, rows = map(int, sys.argv[1:6])
    setproctitle(f"steelyard: worker {number} {sys.argv[6]}".rstrip())
    with outlived():
        log.to_standard_error()
        raise_file_limit()
        collector.seldom()
        table = Table(mmap(memory_fd, 0), rows, workers, number)
        os.close(memory_fd)

        async def run() -> None:
            await WorkerProcess(number, socket(fileno=channel_fd), table).run()

        loop.run(run())


if __name__ == "__main__":
    main()
