"""The balancer inside somebody's event loop: in an application, a script, or a test.

    async with LoadBalancer({"listeners": {"web": {"bind": "127.0.0.1:0", "pool": "web"}},
                             "pools": {"web": {"backends": ["localhost:8000"]}}}) as lb:
        print(lb.address("web"))

It is the same worker as that of `steelyard run`, so what a test sees is what production does.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from steelyard.control import config as _config
from steelyard.core.pool import Pool
from steelyard.core.spec import Spec
from steelyard.errors import SteelyardError
from steelyard.observe.accesslog import OnRecord
from steelyard.proxy.bind import Address
from steelyard.worker import Worker


class LoadBalancer:
    """A load balancer in the running event loop.

    config: a mapping in the shape of the YAML file, the path of such a file, or a checked `Spec`.
    on_record: called with a `Record` for each ended exchange, in the event loop; it must be quick.
    Raises ConfigError at once for a configuration that cannot run; what `start` raises comes when started.
    """

    def __init__(
        self, config: Spec | Mapping[str, Any] | str | os.PathLike[str], *, on_record: OnRecord | None = None
    ) -> None:
        if isinstance(config, Spec):
            self.spec = config
        elif isinstance(config, Mapping):
            self.spec = _config.from_mapping(dict(config))
        else:
            self.spec = _config.load(Path(config))
        self._on_record = on_record
        self._worker: Worker | None = None

    async def start(self) -> None:
        """Listen. Raises ListenError when an address cannot be had, ConfigError when the access log cannot be opened or
        a policy cannot be loaded; then nothing listens."""
        if self._worker is not None:
            raise SteelyardError("this LoadBalancer runs already; make another one for another loop")
        worker = Worker(self.spec, self._on_record)
        await worker.start()
        self._worker = worker

    async def stop(self, drain_s: float | None = None) -> None:
        """Stop: what is in flight gets drain_s seconds (None: as configured; 0: none) to finish."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop(self.spec.drain_timeout_s if drain_s is None else drain_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def address(self, listener: str) -> Address:
        """Where a listener can be reached: the real port when it was configured as 0. KeyError for a wrong name."""
        return self._running().listeners[listener].address

    def pool(self, name: str) -> Pool:
        """A pool with its live numbers. KeyError for a wrong name."""
        return self._running().pools[name]

    def _running(self) -> Worker:
        if self._worker is None:
            raise SteelyardError("this LoadBalancer does not run; use `async with`, or await start() first")
        return self._worker
