"""The control process: it reads and checks configurations, puts them into force, and checks the backends' health.

    python -m steelyard.processes.control_process -1 CHANNEL_FD COMMANDS_FD     (-1: without commands)

A configuration is checked whole, given rows of the table, prepared by every worker, and only then put into force;
whatever fails on the way is said, and changes nothing. Should this process die, requests go on; its successor is
handed the snapshot in force and finds all live numbers, health among them, in the table. Local backends are the
supervisor's; what is to be done with them is said here (control/local.py).
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from mmap import mmap
from time import perf_counter
from typing import Any, Final

from setproctitle import setproctitle

from steelyard.backends import places
from steelyard.backends.owner import words_of
from steelyard.backends.wanted import Wanted
from steelyard.control.changes import changes
from steelyard.control.ledger import Ledger, Plan, table_bytes, table_rows
from steelyard.control.local import LocalBackends, NotReady
from steelyard.control.prober import Checks
from steelyard.control.ready import make_ready
from steelyard.control.watch import FileWatch
from steelyard.core import table as cells
from steelyard.core.pool import Pool
from steelyard.core.spec import PolicySpec, Spec
from steelyard.core.table import Table
from steelyard.errors import ConfigError, ListenError, Problem, SteelyardError
from steelyard.observe import log
from steelyard.observe.streams import outlived, say
from steelyard.processes import collector, identity, loop, signals, sockets, source
from steelyard.processes.channel import Message
from steelyard.processes.commands import Commands
from steelyard.processes.limits import raise_file_limit
from steelyard.processes.ready_lines import ready_lines, reload_line
from steelyard.processes.snapshot import Snapshot, pack, unpack
from steelyard.processes.wire import Wire

Words = dict[str, Any]

# Only looked at here, never asked to choose; the policy that costs least.
LOOKED_AT: Final = PolicySpec("first")

_log = logging.getLogger("steelyard")


class NotTaken(SteelyardError):
    """A configuration was not put into force, and why; nothing has changed."""


class ControlProcess:
    """It and its channel. spec: in force. pools: the balancer's, as far as health and live numbers go.

    file: as it was when it was read last; None where it was not, or there is none.
    place: the directory for unix sockets of local backends.
    """

    def __init__(self, channel: socket.socket, commands: socket.socket | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.wire = Wire(self.loop, channel, self._on_message, self._on_end)
        self.commands = Commands(self, commands)
        self.source: Words = {}
        self.spec = Spec((), ())
        self.number = 0
        self.ledger: Ledger
        self.pools: dict[str, Pool] = {}
        self.checks = Checks(self.loop)
        self.local = LocalBackends(self.loop, self.checks, self)
        self.place = ""
        self.reloading = asyncio.Lock()
        self.asked: dict[int, asyncio.Future[Message]] = {}
        self.last_id = 0
        self.file: FileWatch | None = None
        self.watching: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[int] = self.loop.create_future()
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Until the supervisor is gone; the exit status."""
        status = await self.ended
        for task in self.tasks:
            task.cancel()
        self.local.stop()
        self.checks.stop()
        return status

    # The supervisor's side.

    def _on_message(self, message: Message) -> None:
        match message.name:
            case "begin":
                self._go(self._alone(self._begin(message.words)))
            case "resume":
                self._go(self._alone(self._resume(message)))
            case "reload":
                self._go(self._reload_quietly())
            case "local":
                self.local.heard(message.words)
            case "answer":
                future = self.asked.pop(message.words["id"], None)
                if future is not None and not future.done():
                    future.set_result(message)

    def _on_end(self) -> None:
        self._end(0)

    def _end(self, status: int) -> None:
        if not self.ended.done():
            self.ended.set_result(status)

    def _go(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            _log.error("the control process has a bug", exc_info=exc)
            if not self.number:
                self._end(3)

    async def ask(self, name: str, words: Words | None = None, blob: bytes = b"") -> list[Words]:
        """Say something to the supervisor, and wait for what it answers."""
        return (await self._asked(name, words, blob)).words["answers"]  # type: ignore[no-any-return]

    async def _asked(self, name: str, words: Words | None = None, blob: bytes = b"") -> Message:
        self.last_id += 1
        future: asyncio.Future[Message] = self.loop.create_future()
        self.asked[self.last_id] = future
        self.wire.send(name, {**(words or {}), "id": self.last_id}, blob)
        return await future

    # The supervisor has the local backends (`Owned` of control/local.py).

    async def want(self, wanted: Sequence[Wanted]) -> list[Words]:
        """Have these run; a report of each when all have settled."""
        return await self.ask("locals", {"locals": words_of(wanted)})

    def restart(self, key: str, pid: int, why: str) -> None:
        """A new process in place of that one."""
        self.wire.send("restart", {"key": key, "pid": pid, "why": why})

    def end(self, keys: Iterable[str]) -> None:
        """Nothing is in flight there any more."""
        self.wire.send("end", {"keys": list(keys)})

    # Starting.

    async def _alone(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """While no reload goes on: one that is asked for meanwhile waits."""
        async with self.reloading:
            await coroutine

    async def _begin(self, words: Words) -> None:
        """Start: read the configuration, have the workers started, put it into force; or say why not, and end."""
        self.source = words["source"]
        try:
            with collector.paused():
                spec = self._read()
            make_ready(spec)
            user = identity.words_of(spec.user)
            workers = spec.workers or len(os.sched_getaffinity(0))
            rows = table_rows(spec.max_backends)
            size = table_bytes(rows, workers)
            opened = await self._asked(
                "open",
                {
                    "workers": workers,
                    "rows": rows,
                    "table_bytes": size,
                    "user": user,
                    "pid_file": spec.pid_file or "",
                },
            )
            self._map(opened.descriptors[0], rows, workers)
            self.place = opened.words["answers"][0]["place"]
            identity.become(user)
            if user:
                self._check_that_it_can_be_read_again(spec.user)
            await self._put_into_force(places.resolved(spec, self.spec, self.place))
        except (ConfigError, NotTaken) as exc:
            say(str(exc), sys.stderr)
            self._end(1)
        else:
            self.commands.start()
            collector.settle()

    async def _resume(self, message: Message) -> None:
        """Go on in the place of a control process that has died."""
        words = message.words
        self.source = words["source"]
        snapshot = await unpack(message.blob, _at_once)
        self._map(message.descriptors[0], words["rows"], words["workers"])
        self.ledger = Ledger(self.ledger.table, snapshot.spec, snapshot.rows)
        if self.ledger.table.get(cells.BALANCER, cells.CONFIGURATION) != snapshot.number:
            self.ledger.write_weights()  # the one before us did not come to it
        self.place = words["place"]
        told = {report["key"]: report for report in words["locals"]}
        self.local.reports = told | self.local.reports  # what was heard since is newer
        self._adopt(snapshot.spec, snapshot.rows, fresh=False)
        self.number = snapshot.number
        self.ledger.table.set(cells.BALANCER, cells.CONFIGURATION, self.number)
        self.commands.start()
        _log.info("the control process goes on with configuration %d", self.number)

    def _map(self, memory_fd: int, rows: int, workers: int) -> None:
        self.ledger = Ledger(Table(mmap(memory_fd, 0), rows, workers))
        os.close(memory_fd)

    def _check_that_it_can_be_read_again(self, user: str | None) -> None:
        """Better an error now than at the first reload. Raises ConfigError."""
        path = source.file_of(self.source)
        if path is not None and not os.access(path, os.R_OK):
            message, mend = "cannot be read by that user, so that no reload could", "chgrp it, or move it"
            raise ConfigError([Problem(str(path), "user", message, user, mend)])

    # Configurations.

    async def reload(self) -> Words:
        """Read the configuration anew and put it into force; what came of it, as words. Raises NotTaken.

        configuration: its number. changes: how many. took_s: until it was in force everywhere, in seconds. pause_s: the
        longest that a worker's loop was held up by it, in seconds of CPU time.
        """
        async with self.reloading:
            began = perf_counter()
            try:
                with collector.paused():
                    found, pause_s = await self._reload()
            except (ConfigError, NotTaken, NotReady) as exc:
                self.ledger.table.fetch_add(cells.BALANCER, cells.REFUSED, 1)
                for line in str(exc).splitlines():
                    _log.error("reload: %s", line)
                _log.error("reload: nothing has changed; configuration %d serves on", self.number)
                raise NotTaken(str(exc)) from exc
            took_s = perf_counter() - began
            words = {"configuration": self.number, "changes": found, "took_s": took_s, "pause_s": pause_s}
            _log.info("reload: %s", reload_line(words))
            return words

    def _read(self) -> Spec:
        """The configuration. Its file is looked at before: whatever is saved from here on is noticed by `watch`."""
        path = source.file_of(self.source)
        self.file = None if path is None else FileWatch(path)
        return source.read(self.source)

    async def _reload(self) -> tuple[int, float]:
        if source.file_of(self.source) is None:
            raise NotTaken("started without a file, so there is nothing to read again; use steelyard run -c FILE")
        spec = places.resolved(self._read(), self.spec, self.place)
        found = changes(self.spec, spec)
        where, mend = self.source["file"], "steelyard upgrade starts anew with it, and loses no request"
        settled = [
            f"{where}: {one.key}: cannot be changed from {one.before} by a reload (got {one.after}); {mend}"
            for one in found
            if not one.reload
        ]
        if settled:
            raise NotTaken("\n".join(settled))
        make_ready(spec)
        pause_s = await self._put_into_force(spec)
        return len(found), pause_s

    async def _reload_quietly(self) -> None:
        """For those who read the log alone."""
        try:
            await self.reload()
        except NotTaken:
            return  # it was said
        except Exception:  # a bug of ours: the next change of the file must find us looking all the same
            _log.exception("reload: failed")

    async def _put_into_force(self, spec: Spec) -> float:
        """Prepare everywhere, then switch everywhere. The longest pause of a worker, in seconds of CPU time.

        Raises ConfigError, NotTaken or NotReady, and then nothing has changed.
        """
        try:
            await self.local.prepare(spec, source.beside(self.source), first=self.number == 0)
            plan = self.ledger.plan(spec)
        except BaseException:
            self.wire.send("drop")
            raise
        for pool, at in self.local.places_of_failed(spec):
            self.ledger.doubt(plan, pool, at)
        number = self.number + 1
        snapshot = Snapshot(number, spec, plan, source.beside(self.source))
        listeners = [sockets.words_of(listener) for listener in spec.listeners]
        try:
            answers = await self.ask("prepare", {"listeners": listeners}, pack(snapshot))
            self._raise_what_failed(answers)
        except BaseException:
            self.ledger.drop(plan)
            self.wire.send("drop")
            raise
        self.ledger.raise_weights(spec, plan)
        lines = ready_lines(spec, answers[0]["addresses"])
        words = {"drain_s": spec.drain_timeout_s, "lines": lines, "locals": list(places.keys(spec))}
        answers = await self.ask("commit", words)
        self.ledger.settle(spec, plan)
        self.number = number
        self.ledger.table.set(cells.BALANCER, cells.CONFIGURATION, number)
        if number > 1:
            self.ledger.table.fetch_add(cells.BALANCER, cells.RELOADS, 1)
        self._adopt(spec, plan)
        return max((answer.get("pause_s", 0.0) for answer in answers), default=0.0)

    def _raise_what_failed(self, answers: list[Words]) -> None:
        failed = [answer for answer in answers if "failed" in answer]
        if not failed:
            return
        first = failed[0]
        if "listener" in first:
            raise NotTaken(source.described(self.source, ListenError(first["listener"], first["failed"])))
        raise NotTaken(first["failed"])

    def _adopt(self, spec: Spec, plan: Plan, fresh: bool = True) -> None:
        """Look at these pools from now on, and check them. fresh: they were prepared here."""
        self.spec = spec
        before, self.pools = self.pools, {}
        for pool_spec in spec.pools:
            looked_at = replace(pool_spec, policy=LOOKED_AT, sticky=None)
            pool = before.get(pool_spec.name)
            if pool is None:
                pool = Pool(looked_at, self.ledger.table, plan[pool_spec.name], fresh=False)
            else:
                draft = pool.draft(looked_at, plan[pool_spec.name])
                while draft.advance(len(pool_spec.backends)):
                    pass
                pool.adopt(draft)
            self.pools[pool_spec.name] = pool
        self.checks.adopt(self.pools)
        self.local.adopt(spec, self.pools, fresh)
        self._watch_file(spec.watch)

    def _watch_file(self, wanted: bool) -> None:
        path = source.file_of(self.source)
        if wanted and path is not None:
            if self.watching is None:
                file = FileWatch(path) if self.file is None else self.file
                self.watching = self.loop.create_task(file.follow(self._reload_quietly))
                self.tasks.add(self.watching)
        elif self.watching is not None:
            self.watching.cancel()
            self.tasks.discard(self.watching)
            self.watching = None


async def _at_once() -> None:
    """Nobody waits for this process."""


def main() -> None:
    """Run the control process."""
    signals.ignore()
    channel_fd, commands_fd = map(int, sys.argv[2:4])
    setproctitle("steelyard: control")
    status = 0
    with outlived():
        log.to_standard_error()
        raise_file_limit()
        collector.seldom()

        async def run() -> None:
            nonlocal status
            commands = socket.socket(fileno=commands_fd) if commands_fd >= 0 else None
            process = ControlProcess(socket.socket(fileno=channel_fd), commands)
            status = await process.run()

        loop.run(run())
    sys.exit(status)


if __name__ == "__main__":
    main()
