"""The balancer inside somebody's event loop: in an application, a script, or a test.

    async with LoadBalancer({"listeners": {"web": {"bind": "127.0.0.1:0", "pool": "web"}},
                             "pools": {"web": {"backends": ["localhost:8000"]}}}) as lb:
        print(lb.address("web"))

It is the same worker as that of `steelyard run`, so what a test sees is what production does. Here it is the only one,
and what the control process and the supervisor do for it there is done in the same loop: local backends are processes
of this program.
"""

import logging
import os
import secrets
import socket
import tempfile
from asyncio import AbstractEventLoop, CancelledError, Future, Lock, Task, get_running_loop, shield, wait
from collections.abc import Callable, Iterable, Mapping, Sequence
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path
from typing import Any, Self

from steelyard.backends import places
from steelyard.backends.owner import Owner
from steelyard.backends.wanted import Wanted
from steelyard.control import config as _config
from steelyard.control.ledger import Ledger, table_bytes, table_rows
from steelyard.control.local import LocalBackends, LoopReactor
from steelyard.control.prober import Checks
from steelyard.control.watch import FileWatch
from steelyard.core.pool import Pool
from steelyard.core.spec import Spec
from steelyard.core.table import Table
from steelyard.errors import SteelyardError
from steelyard.observe.accesslog import OnRecord
from steelyard.proxy.bind import Address, SocketFile, bind, key_of, let_beside
from steelyard.worker import Worker

_log = logging.getLogger("steelyard")

Config = Spec | Mapping[str, Any] | str | os.PathLike[str]
Sockets = dict[str, list[socket.socket]]


class LoadBalancer:
    """A load balancer in the running event loop.

    config: a mapping in the shape of the YAML file, the path of such a file, or a checked `Spec`.
    on_record: called with a `Record` for each ended exchange, in the event loop; it must be quick.
    Raises ConfigError at once for a configuration that cannot run; what `start` raises comes when started.
    `workers`, `user` and `pid_file` are for `steelyard run`, and mean nothing here.
    """

    def __init__(self, config: Config, *, on_record: OnRecord | None = None) -> None:
        self._file = _file_of(config)  # looked at before it is read: what changes from here on is noticed
        self.spec = _checked(config)
        self._watching: Task[None] | None = None
        self._on_record = on_record
        self._worker: Worker | None = None
        self._ledger: Ledger | None = None
        self._checks: Checks | None = None
        self._local: LocalBackends | None = None
        self._own: OwnProcesses | None = None
        self._reloading = Lock()

    async def start(self) -> None:
        """Start the local backends, then listen. Raises ListenError when an address cannot be had, ConfigError when the
        access log cannot be opened or a policy cannot be loaded; then nothing listens. Local backends that do not
        become ready are logged, and the rest is served."""
        if self._worker is not None:
            raise SteelyardError("this LoadBalancer runs already; make another one for another loop")
        rows = table_rows(self.spec.max_backends)
        # Untouched memory costs none.
        memory = mmap(-1, table_bytes(rows, 1), MAP_PRIVATE | MAP_ANONYMOUS)
        table = Table(memory, rows)
        worker, ledger, checks = Worker(table, self._on_record), Ledger(table), Checks(get_running_loop())
        own = OwnProcesses(worker.loop)
        local = LocalBackends(worker.loop, checks, own)
        own.heard = local.heard
        try:
            spec = places.resolved(self.spec, ledger.spec, own.place)
            await _put_into_force(spec, self._beside(), worker, ledger, checks, local, own)
        except BaseException:
            local.stop()
            checks.stop()
            await worker.stop(0.0)
            await own.stop(at_once=True)
            raise
        self.spec = spec
        self._worker, self._ledger, self._checks, self._local, self._own = worker, ledger, checks, local, own
        self._follow_file()

    async def reload(self, config: Config) -> None:
        """Serve by another configuration from the next request on, and close no connection.

        What stays in it keeps its connections and all that is known of it; what is gone finishes what it has. Raises
        ConfigError, ListenError or NotReady (of local backends), and then nothing has changed. A file that is named
        here is the one to watch from now on, if it says so.
        """
        file = _file_of(config)
        spec = _checked(config)
        async with self._reloading:
            worker = self._running()
            assert self._ledger is not None and self._checks is not None
            assert self._local is not None and self._own is not None
            spec = places.resolved(spec, self._ledger.spec, self._own.place)
            beside = self._beside() if file is None else file.path.parent
            try:
                await _put_into_force(spec, beside, worker, self._ledger, self._checks, self._local, self._own)
            finally:
                self.spec = self._ledger.spec
            if file is not None and (self._file is None or file.path != self._file.path):
                self._watch_no_more()
                self._file = file
            self._follow_file()

    async def stop(self, drain_s: float | None = None) -> None:
        """Stop: what is in flight gets drain_s seconds (None: as configured; 0: none) to finish.

        A reload that goes on is finished before.
        """
        async with self._reloading:
            worker, self._worker = self._worker, None
            self._watch_no_more()
        if worker is not None:
            try:
                await worker.stop(self.spec.drain_timeout_s if drain_s is None else drain_s)
            finally:
                if self._local is not None:
                    self._local.stop()
                if self._checks is not None:
                    self._checks.stop()
                if self._own is not None:
                    await self._own.stop(at_once=drain_s == 0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def address(self, listener: str) -> Address:
        """Where a listener can be reached: the real port when it was configured as 0. KeyError for a wrong name."""
        return self._running().listener(listener).address

    def pool(self, name: str) -> Pool:
        """A pool with its live numbers. KeyError for a wrong name."""
        return self._running().pools[name]

    def counters(self) -> dict[str, int]:
        """How many requests have ended in which way, and what was done on the way (observe/counters.py)."""
        return self._running().counters.read()

    def _beside(self) -> Path:
        """Where local backends run that name no directory: where the file is, or where this program was started."""
        return Path() if self._file is None else self._file.path.parent

    def _follow_file(self) -> None:
        """Look at the file as long as the configuration in force wants it: `watch: true`."""
        if not self.spec.watch or self._file is None:
            self._watch_no_more()
        elif self._watching is None:
            self._watching = self._running().loop.create_task(self._file.follow(self._read_again))

    def _watch_no_more(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()

    async def _read_again(self) -> None:
        """The file has changed."""
        assert self._file is not None
        try:
            await self.reload(self._file.path)
        except SteelyardError as exc:
            _log.error("reload: %s; nothing has changed", exc)
        except Exception:  # a bug: the next change may be spared it
            _log.exception("reload: failed")

    def _running(self) -> Worker:
        if self._worker is None:
            raise SteelyardError("this LoadBalancer does not run; use `async with`, or await start() first")
        return self._worker


def _checked(config: Config) -> Spec:
    if isinstance(config, Spec):
        return config
    if isinstance(config, Mapping):
        return _config.from_mapping(dict(config))
    return _config.load(Path(config))


def _file_of(config: Config) -> FileWatch | None:
    return FileWatch(Path(config)) if isinstance(config, (str, os.PathLike)) else None


class OwnProcesses:
    """Local backends as processes of this program (`Owned` of control/local.py). heard: hears what becomes of them."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.heard: Callable[[dict[str, Any]], None] = lambda report: None
        # Made when it is needed; nobody else can know its name.
        self.place = os.path.join(tempfile.gettempdir(), f"steelyard-{os.getpid()}-{secrets.token_hex(8)}")
        self.owner = Owner(LoopReactor(loop), self.place, lambda report: self.heard(report), _pass_on)

    async def want(self, wanted: Sequence[Wanted]) -> list[dict[str, Any]]:
        """Have these run; a report of each when all have settled."""
        settled: Future[list[dict[str, Any]]] = self.loop.create_future()
        self.owner.want(wanted, settled.set_result)
        return await settled

    def restart(self, key: str, pid: int, why: str) -> None:
        """A new process in place of that one."""
        self.owner.restart(key, pid, why)

    def end(self, keys: Iterable[str]) -> None:
        """Nothing is in flight there any more."""
        self.owner.end(keys)

    async def stop(self, at_once: bool) -> None:
        """End them all, and wait until they have ended."""
        ended: Future[None] = self.loop.create_future()
        self.owner.stop(lambda: ended.set_result(None), at_once)
        await shield(ended)


def _pass_on(line: str) -> None:
    _log.info("%s", line)


async def _put_into_force(
    spec: Spec,
    beside: Path,
    worker: Worker,
    ledger: Ledger,
    checks: Checks,
    local: LocalBackends,
    own: OwnProcesses,
) -> None:
    """All that can fail first, then the switch, which is never left half done."""
    try:
        await local.prepare(spec, str(beside), first=not worker.listeners)
        plan = ledger.plan(spec)
    except BaseException:
        own.owner.drop()
        raise
    for pool, at in local.places_of_failed(spec):
        ledger.doubt(plan, pool, at)
    try:
        change = await worker.prepare(spec, plan)
        try:
            sockets, files = _bind_new(spec, worker)
        except BaseException:
            worker.abandon(change)
            raise
    except BaseException:
        ledger.drop(plan)
        own.owner.drop()
        raise

    async def switch() -> None:
        ledger.raise_weights(spec, plan)
        await worker.switch(change, sockets)
        for key, file in files.items():
            worker.listeners[key].file = file
        ledger.settle(spec, plan)
        checks.adopt(worker.pools)
        own.owner.keep(places.keys(spec), spec.drain_timeout_s)
        local.adopt(spec, worker.pools)

    switching = worker.loop.create_task(switch())
    try:
        await shield(switching)
    except CancelledError:
        await wait([switching])
        raise


def _bind_new(spec: Spec, worker: Worker) -> tuple[Sockets, dict[str, SocketFile]]:
    """Sockets for the listeners that are new, by key, and the files of some. Raises ListenError, and leaves none."""
    sockets: Sockets = {}
    files: dict[str, SocketFile] = {}
    try:
        for listener in spec.listeners:
            key = key_of(listener)
            if key not in worker.listeners:
                left = worker.answering(key)
                for one in left:
                    let_beside(one.socks or ())
                sockets[key] = bind(listener, beside=bool(left))
                if listener.path is not None:
                    files[key] = SocketFile(listener.path)
    except BaseException:
        for file in files.values():
            file.remove()
        for bound in sockets.values():
            for sock in bound:
                sock.close()
        raise
    return sockets, files
