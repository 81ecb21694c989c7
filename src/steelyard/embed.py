"""The balancer inside somebody's event loop: in an application, a script, or a test.

    async with LoadBalancer({"listeners": {"web": {"bind": "127.0.0.1:0", "pool": "web"}},
                             "pools": {"web": {"backends": ["localhost:8000"]}}}) as lb:
        print(lb.address("web"))

It is the same worker as that of `steelyard run`, so what a test sees is what production does. Here it is the only one,
and what the control process and the supervisor do for it there is done in the same loop.
"""

import logging
import os
import socket
from asyncio import Lock, Task, get_running_loop
from collections.abc import Mapping
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path
from typing import Any, Self

from steelyard.control import config as _config
from steelyard.control.ledger import Ledger, table_rows
from steelyard.control.prober import Checks
from steelyard.control.watch import FileWatch
from steelyard.core.pool import Pool
from steelyard.core.spec import Spec
from steelyard.core.table import Table
from steelyard.errors import SteelyardError
from steelyard.observe.accesslog import OnRecord
from steelyard.proxy.bind import Address, SocketFile, bind, key_of
from steelyard.worker import Worker

_log = logging.getLogger("steelyard")

Config = Spec | Mapping[str, Any] | str | os.PathLike[str]


class LoadBalancer:
    """A load balancer in the running event loop.

    config: a mapping in the shape of the YAML file, the path of such a file, or a checked `Spec`.
    on_record: called with a `Record` for each ended exchange, in the event loop; it must be quick.
    Raises ConfigError at once for a configuration that cannot run; what `start` raises comes when started.
    `workers`, `user` and `pid_file` are for `steelyard run`, and mean nothing here.
    """

    def __init__(self, config: Config, *, on_record: OnRecord | None = None) -> None:
        self.spec = _checked(config)
        self._path = Path(config) if isinstance(config, (str, os.PathLike)) else None
        self._watching: Task[None] | None = None
        self._on_record = on_record
        self._worker: Worker | None = None
        self._ledger: Ledger | None = None
        self._checks: Checks | None = None
        self._reloading = Lock()

    async def start(self) -> None:
        """Listen. Raises ListenError when an address cannot be had, ConfigError when the access log cannot be opened or
        a policy cannot be loaded; then nothing listens."""
        if self._worker is not None:
            raise SteelyardError("this LoadBalancer runs already; make another one for another loop")
        rows = table_rows(self.spec.max_backends)
        # Untouched memory costs none.
        memory = mmap(-1, Table.size_bytes(rows, 1), MAP_PRIVATE | MAP_ANONYMOUS)
        table = Table(memory, rows)
        worker, ledger, checks = Worker(table, self._on_record), Ledger(table), Checks(get_running_loop())
        try:
            await _put_into_force(self.spec, worker, ledger, checks)
        except BaseException:
            await worker.stop(0.0)
            raise
        self._worker, self._ledger, self._checks = worker, ledger, checks
        if self.spec.watch and self._path is not None:
            self._watching = worker.loop.create_task(FileWatch(self._path).follow(self._read_again))

    async def reload(self, config: Config) -> None:
        """Serve by another configuration from the next request on, and close no connection.

        What stays in it keeps its connections and all that is known of it; what is gone finishes what it has. Raises
        ConfigError or ListenError, and then nothing has changed.
        """
        spec = _checked(config)
        async with self._reloading:
            worker = self._running()
            assert self._ledger is not None and self._checks is not None
            await _put_into_force(spec, worker, self._ledger, self._checks)
            self.spec = spec

    async def stop(self, drain_s: float | None = None) -> None:
        """Stop: what is in flight gets drain_s seconds (None: as configured; 0: none) to finish."""
        worker, self._worker = self._worker, None
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        if worker is not None:
            try:
                await worker.stop(self.spec.drain_timeout_s if drain_s is None else drain_s)
            finally:
                if self._checks is not None:
                    self._checks.stop()

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

    async def _read_again(self) -> None:
        """The file has changed: `watch: true`."""
        assert self._path is not None
        try:
            await self.reload(self._path)
        except SteelyardError as exc:
            _log.error("reload: %s; nothing has changed", exc)

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


async def _put_into_force(spec: Spec, worker: Worker, ledger: Ledger, checks: Checks) -> None:
    """All that can fail first, then the switch."""
    plan = ledger.plan(spec)
    sockets: dict[str, list[socket.socket]] = {}
    try:
        change = await worker.prepare(spec, plan)
        try:
            for listener in spec.listeners:
                if key_of(listener) not in worker.listeners:
                    sockets[key_of(listener)] = bind(listener)
        except BaseException:
            worker.abandon(change)
            raise
    except BaseException:
        for bound in sockets.values():
            for sock in bound:
                sock.close()
        ledger.drop(plan)
        raise
    await worker.switch(change, sockets)
    for listener in spec.listeners:
        if listener.path is not None and key_of(listener) in sockets:
            worker.listeners[key_of(listener)].file = SocketFile(listener.path)
    ledger.settle(spec, plan)
    checks.adopt(worker.pools)
