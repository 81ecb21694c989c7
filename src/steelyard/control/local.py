"""What is done about local backends by the one that checks all backends; their processes are somebody else's (`Owned`).

- A configuration comes into force when each process that is new in it accepts connections and passes its pool's check.
- A process that has ended is down for all workers at once, and a new one is up with its first good check: no request
  waits for the pool's usual rise and fall.
- One that was well, and then fails `fall` checks in a row, is started anew: it hangs.
- One that has served `recycle_after` requests gets no more, finishes what it has, and is started anew; never two of an
  entry at a time.
- Those that a configuration has no more are ended as soon as nothing is in flight there.
"""

import logging
from asyncio import AbstractEventLoop, TimerHandle, gather, sleep
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from steelyard.backends import places
from steelyard.backends.wanted import Wanted
from steelyard.control.prober import QUICK_MOST_S, Checks, check_once, log_state
from steelyard.core.backend import Backend
from steelyard.core.pool import Pool
from steelyard.core.spec import HealthCheckSpec, LocalSpec, Spec
from steelyard.errors import SteelyardError

Words = dict[str, Any]

# How often it is looked whether a process that is to end, or to be recycled, has nothing in flight any more.
LOOK_S: Final = 0.1
READY: Final = "ready"
SHOWN: Final = 8  # names in the line that says what is waited for

_log = logging.getLogger("steelyard")


class NotReady(SteelyardError):
    """Local backends that are new in a configuration did not become ready: which, why, and what they said last."""


class Owned(Protocol):
    """Who has the processes, as backends/owner.py: the supervisor, or this very loop."""

    async def want(self, wanted: Sequence[Wanted]) -> list[Words]:
        """Have them run; a report of each when all have settled."""

    def restart(self, key: str, pid: int, why: str) -> None:
        """A new process in place of that one."""

    def end(self, keys: Iterable[str]) -> None:
        """Nothing is in flight there any more."""


class Seen:
    """A local backend as it is seen here. fit: its process has passed a check, or needs none.

    failures: checks in a row that have failed since. requests_before: sent to it before this process. draining: it is
    to be recycled; told: its owner knows.
    """

    def __init__(self, key: str, pool: Pool, backend: Backend, local: LocalSpec) -> None:
        self.key = key
        self.pool = pool
        self.backend = backend
        self.local = local
        self.entry = places.entry_of(key)
        self.pid = 0
        self.ready = self.fit = False
        self.failures = 0
        self.requests_before = 0
        self.draining = self.told = False

    @property
    def served(self) -> int:
        """How many requests were sent to this process."""
        return self.backend.requests - self.requests_before


class LocalBackends:
    """Those of one balancer. seen: of the configuration in force, by key. failed: keys of the one that is prepared,
    which is to come into force all the same."""

    def __init__(self, loop: AbstractEventLoop, checks: Checks, owner: Owned) -> None:
        self.loop = loop
        self.checks = checks
        self.owner = owner
        self.seen: dict[str, Seen] = {}
        self.failed: set[str] = set()
        self.reports: dict[str, Words] = {}
        self._of: dict[Backend, Seen] = {}
        self._leaving: dict[str, Backend] = {}
        self._timer: TimerHandle | None = None
        checks.on_check = self._checked

    async def prepare(self, spec: Spec, beside: str, first: bool) -> None:
        """Have the local backends of a configuration run, and wait until each new one is ready, or will not be.

        beside: the directory of the file. first: nothing is served yet: then what is not ready is only said, so that
        the rest is served. Else raises NotReady.
        """
        self.failed = set()
        wanted = places.wanted(spec, beside)
        if not wanted:
            return
        new = [one.name for one in wanted if one.key not in self.seen]
        if new:
            names = ", ".join(new[:SHOWN]) + (f" and {len(new) - SHOWN} more" if len(new) > SHOWN else "")
            _log.info("%s", f"starting {len(new)} local backend{'' if len(new) == 1 else 's'}: {names}")
        reports = await self.owner.want(wanted)
        self.reports.update({report["key"]: report for report in reports})
        found = await gather(*[self._first(spec, report) for report in reports if report["new"]])
        failed = {key: why for key, why in found if why}
        entries = {places.entry_of(key): why for key, why in reversed(failed.items())}  # what one says is said for all
        if failed and not first:
            raise NotReady("\n".join(entries.values()))
        for why in entries.values():
            _log.warning("%s", why)
        self.failed = set(failed)

    async def _first(self, spec: Spec, report: Words) -> tuple[str, str]:
        """A new one's key, and why it is not ready; empty where it is."""
        key = report["key"]
        if report["why"]:
            return key, report["why"]
        name, at = places.keys(spec)[key]
        (pool,) = (pool for pool in spec.pools if pool.name == name)
        local = pool.backends[at].local
        check = pool.health_check
        if check is None or local is None:
            return key, ""
        deadline = self.loop.time() + max(local.ready_timeout_s - report["age_s"], check.timeout_s)
        detail = await self._until_good(check, pool.backends[at], key, deadline)
        if not detail:
            return key, ""
        message = f"accepts connections, but its health check fails: {detail} (got {local.command})"
        return key, f"{local.where}: {local.at}: local backend {local.name} {message}"

    async def _until_good(self, check: HealthCheckSpec, where: Any, key: str, deadline: float) -> str:
        """Check it until it passes; empty then, else why it has not by the deadline, or that it has ended."""
        while True:
            detail, _ = await check_once(self.loop, check, where)
            if detail is None:
                return ""
            if self.reports[key]["state"] != READY or self.loop.time() >= deadline:
                return detail
            await sleep(QUICK_MOST_S)

    def places_of_failed(self, spec: Spec) -> list[tuple[str, int]]:
        """Pool and place in it of each that is not ready, of the specification that was prepared."""
        found = places.keys(spec)
        return [found[key] for key in self.failed]

    def adopt(self, spec: Spec, pools: Mapping[str, Pool], fresh: bool = True) -> None:
        """This configuration is in force. fresh: its new ones were prepared here; else they ran before us."""
        before, self.seen = self.seen, {}
        for key, (name, at) in places.keys(spec).items():
            pool = pools[name]
            backend, local = pool.backends[at], pool.spec.backends[at].local
            assert local is not None, f"{key} is nobody's process"
            seen = before.pop(key, None)
            if seen is not None:
                seen.pool, seen.backend, seen.local = pool, backend, local
                if seen.draining and local.recycle_after is None and not seen.told:
                    self._go_on(seen)
            else:
                seen = Seen(key, pool, backend, local)
                self._meet(seen, fresh)
            self.seen[key] = seen
            if not seen.ready:
                pool.ended(backend, self.loop.time())  # a pool whose checks have been switched off believes in all
        self._of = {seen.backend: seen for seen in self.seen.values()}
        self._leaving.update({key: seen.backend for key, seen in before.items()})
        for key in before:
            self.reports.pop(key, None)
        self.failed = set()
        self._look()

    def heard(self, report: Words) -> None:
        """Its owner says that one became ready, or is so no more."""
        key = report["key"]
        self.reports[key] = report
        seen = self.seen.get(key)
        if seen is None:
            return
        now = self.loop.time()
        was_ready = seen.ready
        seen.ready = report["state"] == READY
        seen.fit = seen.fit and seen.ready
        quiet = report.get("troubled", False)  # its owner has said that it comes and goes
        if seen.ready and (not was_ready or seen.pid != report["pid"]):
            seen.pid = report["pid"]
            seen.requests_before = seen.backend.requests
            seen.failures, seen.fit, seen.told = 0, False, False
            if seen.pool.checked:
                self.checks.hurry(seen.pool, seen.backend, quiet)
            else:
                if seen.pool.returned(seen.backend, now) and not quiet:
                    log_state(seen.pool, seen.backend, True, "")
                self._fit(seen)
        elif was_ready and not seen.ready and seen.pool.ended(seen.backend, now) and not (seen.told or quiet):
            what = "its process is told to end" if report["pid"] else "its process has ended"
            log_state(seen.pool, seen.backend, False, what)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._leaving.clear()
        self.seen.clear()

    def _meet(self, seen: Seen, fresh: bool) -> None:
        """One is in force for the first time, or was before us."""
        report = self.reports.get(seen.key)
        if report is None:
            return
        seen.pid, seen.ready = report["pid"], report["state"] == READY
        seen.requests_before = seen.backend.requests
        if not seen.ready:
            return
        if fresh and seen.key not in self.failed:
            seen.pool.returned(seen.backend, self.loop.time())
        if not fresh and seen.backend.draining:
            seen.backend.set_draining(False)  # who has begun to recycle it is no more
        if seen.backend.healthy:
            seen.fit = True
        else:
            self.checks.hurry(seen.pool, seen.backend)

    def _fit(self, seen: Seen) -> None:
        """Its process serves well."""
        seen.fit, seen.failures = True, 0
        if seen.draining:
            self._go_on(seen)

    def _go_on(self, seen: Seen) -> None:
        """It is not to be recycled any more."""
        seen.draining = seen.told = False
        seen.backend.set_draining(False)

    def _checked(self, pool: Pool, backend: Backend, detail: str | None) -> None:
        """A check of any backend has ended."""
        seen = self._of.get(backend)
        if seen is None:
            return
        if detail is None:
            seen.failures = 0
            if seen.ready and not seen.fit:
                self._fit(seen)
        elif seen.ready and seen.fit and pool.spec.health_check is not None:
            seen.failures += 1
            if seen.failures >= pool.spec.health_check.fall:
                seen.failures, seen.fit = 0, False
                count = (
                    "a health check has"
                    if pool.spec.health_check.fall == 1
                    else f"{pool.spec.health_check.fall} health checks in a row have"
                )
                self.owner.restart(seen.key, seen.pid, f"hangs: {count} failed, the last one with: {detail}")

    # What has to be looked at again and again.

    def _look(self) -> None:
        """End those that have nothing in flight any more, and recycle those whose time has come."""
        idle = [key for key, backend in self._leaving.items() if backend.in_flight == 0]
        for key in idle:
            del self._leaving[key]
        if idle:
            self.owner.end(idle)
        recycled = [seen for seen in self.seen.values() if seen.local.recycle_after is not None]
        recycled.sort(key=lambda seen: -seen.served)  # where several are due, who has waited longest goes first
        for seen in recycled:
            self._recycle(seen, recycled)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LOOK_S, self._look) if self._leaving or recycled else None

    def _recycle(self, seen: Seen, others: Iterable[Seen]) -> None:
        """One step of it, where there is one to be taken."""
        assert seen.local.recycle_after is not None
        if seen.draining:
            if seen.ready and not seen.told and seen.backend.in_flight == 0:
                seen.told = True
                self.owner.restart(seen.key, seen.pid, "")
            return
        alone = all(one.fit and not one.draining for one in others if one is not seen and one.entry == seen.entry)
        if seen.fit and alone and seen.served >= seen.local.recycle_after:
            _log.info(
                "%s", f"local backend {seen.local.name} (pid {seen.pid}) is recycled after {seen.served} requests"
            )
            seen.draining = True
            seen.backend.set_draining(True)


class LoopReactor:
    """An event loop of asyncio as what drives local backends (`Reactor` of backends/local.py)."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it once, so much later."""
        self.loop.call_later(delay_s, call)

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        """Call it whenever the descriptor is readable."""
        self.loop.add_reader(fd, call)

    def remove_reader(self, fd: int) -> None:
        """No more."""
        self.loop.remove_reader(fd)
