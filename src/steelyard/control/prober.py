"""Active checks: one task a backend asks, at a jittered interval, whether it is there.

A TCP check is a connect; an HTTP check is a GET whose status must be one that is expected. The answer's head is
read up to a bound, its body never: an endless one costs nothing. Redirects are not followed: they are a status like
any other. Results go to the pool, whose machines decide (core/health.py). Of several processes one checks for all:
what it finds lies in the table.
"""

import logging
import random
from asyncio import AbstractEventLoop, StreamReader, Task, open_connection, sleep, timeout
from collections.abc import Callable, Mapping
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.pool import Pool
from steelyard.core.spec import BackendSpec, HealthCheckSpec
from steelyard.errors import ProtocolError, SteelyardError
from steelyard.proxy.dial import connect, why
from steelyard.wire.http1 import scan_response
from steelyard.wire.limits import ANSWER_FIELDS, ANSWER_HEAD_BYTES

# How a backend that has just been started is checked: at this pace, and slower and slower, but never slower than that.
QUICK_S: Final = 0.05
QUICK_MOST_S: Final = 0.25
# A timer that goes off so much too late: the machine did not let us run.
STOOD_STILL_S: Final = 0.1

# Called with each check's backend, and why it failed; None when it passed.
OnCheck = Callable[[Pool, Backend, str | None], None]

_log = logging.getLogger("steelyard")


class CheckFailed(SteelyardError):
    """A check's negative result; the message is the reason."""


class WrongStatus(CheckFailed):
    """There was an answer, but not of a healthy backend."""


def called(pool: Pool, backend: Backend) -> str:
    """What a log calls a backend: `http://localhost:8001`, `unix:/run/app.sock`, `local backend web/0`."""
    if backend.spec.local is not None:
        return f"local backend {backend.spec.local.name}"
    return backend.label if backend.spec.path is not None else f"{pool.spec.protocol}://{backend.label}"


def log_state(pool: Pool, backend: Backend, up: bool, detail: str) -> None:
    """The line that operators look for: `http://localhost:8001 [down]`, with the pool and the reason."""
    reason = f": {detail}" if detail else ""
    _log.log(
        logging.INFO if up else logging.WARNING,
        "%s [%s] (pool %s)%s",
        called(pool, backend),
        "up" if up else "down",
        pool.name,
        reason,
    )


def log_change(pool: Pool, backend: Backend | None, what: str) -> None:
    """The line for what the traffic has done: `http://localhost:8001 [ejected for 31 s] (pool web): 5 errors in a row`.

    what: as `Pool.tell` is told it. backend: None for the pool itself.
    """
    state, _, reason = what.partition(": ")
    good = state.startswith(("back", "circuit closed", "circuit half-open"))
    _log.log(
        logging.INFO if good else logging.WARNING,
        "%s [%s]%s%s",
        f"pool {pool.name}" if backend is None else called(pool, backend),
        state,
        "" if backend is None else f" (pool {pool.name})",
        f": {reason}" if reason else "",
    )


class Prober:
    """The checks of one pool, whose specification has some. tasks: one a backend."""

    def __init__(self, loop: AbstractEventLoop, pool: Pool, on_check: OnCheck | None = None) -> None:
        self.loop = loop
        self.pool = pool
        self.on_check = on_check
        self.random = random.Random()
        self.tasks: dict[Backend, Task[None]] = {}
        assert pool.spec.health_check is not None, f"pool {pool.name} has no checks"
        self.check: HealthCheckSpec = pool.spec.health_check
        self.adopt()

    def adopt(self) -> None:
        """Check whom the pool has now, and how it says: new backends at once, the others go on in their own time."""
        check = self.pool.spec.health_check
        assert check is not None, f"pool {self.pool.name} has no checks"
        # Who would sleep for longer than is wanted now begins anew.
        sooner = bool(self.tasks) and check.interval_s < self.check.interval_s
        members = set() if sooner else set(self.pool.backends)
        for backend in [one for one in self.tasks if one not in members]:
            self.tasks.pop(backend).cancel()
        self.check = check
        for backend in self.pool.backends:
            if backend not in self.tasks:
                self.tasks[backend] = self.loop.create_task(self.watch(backend))

    def stop(self) -> None:
        """Check no more."""
        for task in self.tasks.values():
            task.cancel()
        self.tasks.clear()

    def hurry(self, backend: Backend, quiet: bool = False) -> None:
        """A backend has just been started: check it at once, and often until it passes, which then counts at once.

        quiet: nothing is said of that.
        """
        if backend in self.tasks:
            self.tasks[backend].cancel()
            self.tasks[backend] = self.loop.create_task(self.welcome(backend, quiet))

    async def welcome(self, backend: Backend, quiet: bool) -> None:
        """Check one that has just been started until it passes, and go on as with the others."""
        pause_s = QUICK_S
        while (await self.look(backend))[0] is not None:
            await sleep(pause_s)
            pause_s = min(2 * pause_s, QUICK_MOST_S)
        if not self.pool.checked:
            return
        if self.pool.returned(backend, self.loop.time()) and not quiet:
            log_state(self.pool, backend, True, "")
        self.tell(backend, None)
        await sleep(self.pause_s())
        await self.watch(backend)

    def tell(self, backend: Backend, detail: str | None) -> None:
        if self.on_check is not None:
            self.on_check(self.pool, backend, detail)

    def pause_s(self) -> float:
        """From one check to the next."""
        return self.check.interval_s * (1.0 + self.check.jitter * (2.0 * self.random.random() - 1.0))

    async def look(self, backend: Backend) -> tuple[str | None, bool]:
        """As `probe`, and a bug of ours is a failed check: one that nobody makes any more would be worse."""
        try:
            return await self.probe(backend)
        except Exception as exc:
            _log.exception("%s: the check itself failed (pool %s)", called(self.pool, backend), self.pool.name)
            return f"the check itself failed: {exc}", False

    async def watch(self, backend: Backend) -> None:
        while True:
            started = self.loop.time()
            detail, answers = await self.look(backend)
            if not self.pool.checked:
                return  # a configuration without checks has come meanwhile, and who stops us is on his way
            changed = self.pool.probed(backend, detail is None, self.loop.time(), answers)
            if changed or self.check.log == "all":
                log_state(self.pool, backend, backend.healthy, detail or "")
            self.tell(backend, detail)
            await sleep(max(0.0, started + self.pause_s() - self.loop.time()))

    async def probe(self, backend: Backend) -> tuple[str | None, bool]:
        """As `check_once`."""
        return await check_once(self.loop, self.check, backend.spec)


async def check_once(loop: AbstractEventLoop, check: HealthCheckSpec, spec: BackendSpec) -> tuple[str | None, bool]:
    """One check: None when it passed, else why it failed; and whether the backend answers at all.

    A time that ran out while this very process stood still, and so could not see an answer, says nothing of the
    backend: it is asked once more.
    """
    over_at = loop.time() + check.timeout_s
    try:
        try:
            await _ask_in_time(loop, check, spec)
        except TimeoutError:
            if loop.time() - over_at < STOOD_STILL_S:
                raise
            await _ask_in_time(loop, check, spec)
    except TimeoutError:
        return f"no answer within {check.timeout_s:g} s", False
    except OSError as exc:
        return why(exc), False
    except CheckFailed as exc:
        return str(exc), isinstance(exc, WrongStatus)
    return None, True


async def _ask_in_time(loop: AbstractEventLoop, check: HealthCheckSpec, spec: BackendSpec) -> None:
    """One check. Raises TimeoutError, OSError or CheckFailed."""
    async with timeout(check.timeout_s):
        if check.kind == "http":
            await ask(loop, check, spec)
        else:
            (await connect(loop, spec)).close()


async def ask(loop: AbstractEventLoop, check: HealthCheckSpec, spec: BackendSpec) -> None:
    """An http check. Raises OSError or CheckFailed."""
    sock = await connect(loop, spec)
    try:
        reader, writer = await open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise
    host = spec.address if spec.path is None else "localhost"  # a path would be no host
    try:
        writer.write(
            f"GET {check.path} HTTP/1.1\r\nHost: {host}\r\n"
            "User-Agent: steelyard-health-check\r\nConnection: close\r\n\r\n".encode("latin-1")
        )
        status = await _read_status(reader)
    finally:
        writer.transport.abort()
    if not any(low <= status <= high for low, high in check.expect):
        raise WrongStatus(f"status {status}")


class Checks:
    """The checks of all pools of a balancer. on_check: for probers that are made from now on."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.probers: dict[str, Prober] = {}
        self.on_check: OnCheck | None = None

    def adopt(self, pools: Mapping[str, Pool]) -> None:
        """Check these pools, as each says, from now on."""
        wanted = {name: pool for name, pool in pools.items() if pool.checked}
        for name in [name for name, prober in self.probers.items() if wanted.get(name) is not prober.pool]:
            self.probers.pop(name).stop()
        for name, pool in wanted.items():
            if name in self.probers:
                self.probers[name].adopt()
            else:
                self.probers[name] = Prober(self.loop, pool, self.on_check)

    def hurry(self, pool: Pool, backend: Backend, quiet: bool = False) -> None:
        """See `Prober.hurry`; nothing where the pool has no checks."""
        if pool.name in self.probers:
            self.probers[pool.name].hurry(backend, quiet)

    def stop(self) -> None:
        """Check no more."""
        for prober in self.probers.values():
            prober.stop()
        self.probers.clear()


async def _read_status(reader: StreamReader) -> int:
    """The status of an answer; interim ones are skipped. Raises CheckFailed."""
    data = b""
    pos = 0
    while True:
        piece = await reader.read(ANSWER_HEAD_BYTES)
        if not piece:
            raise CheckFailed("closed without an answer")
        data += piece
        try:
            head = scan_response(data, pos, ANSWER_HEAD_BYTES, ANSWER_FIELDS)
            while head is not None and head.status < 200:
                pos = head.end
                head = scan_response(data, pos, ANSWER_HEAD_BYTES, ANSWER_FIELDS)
        except ProtocolError as exc:
            raise CheckFailed(f"not an HTTP answer: {exc.detail}") from exc
        if head is not None:
            return head.status
        if len(data) > ANSWER_HEAD_BYTES:
            raise CheckFailed("an answer without end")
