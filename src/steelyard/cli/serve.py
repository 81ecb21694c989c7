"""A checked configuration, run in this process until a signal ends it.

SIGINT, SIGTERM and SIGHUP drain: nothing new is accepted, requests in flight finish. A second SIGINT ends at once.
SIGHUP is what a terminal sends that is closed; under nohup it is ignored, as nohup asked for.
Who started us reads standard output for the lines that say what is ready; all else goes to standard error.
"""

import asyncio
import gc
import logging
import resource
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

from steelyard.cli import log, loop
from steelyard.cli.streams import outlived, say, takes
from steelyard.core.spec import BackendSpec, Spec
from steelyard.embed import LoadBalancer

# More names than this on the line that says what is running is a list nobody reads.
SHOWN_BACKENDS = 8
# Objects made and not freed before a collection; Python's own 700 is for programs that do not know their cycles.
GC_THRESHOLD = 50_000


def serve(spec: Spec) -> None:
    """Run until a signal ends it. Raises ListenError, and ConfigError where the access log cannot be opened."""
    with outlived():
        handler = _Handler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.to(handler)
        _raise_file_limit()
        loop.run(_serve(spec))


class _Handler(logging.StreamHandler[TextIO]):
    """Standard error, while somebody takes it: no line of a log is worth the traffic that would wait for its reader."""

    def emit(self, record: logging.LogRecord) -> None:
        if takes(self.stream):
            super().emit(record)


def _raise_file_limit() -> None:
    """Take as many descriptors as the system lets us: each client and each kept backend connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _settle() -> None:
    """All that lives now lives to the end: the garbage collector need not look at it again, nor come so often.

    A request's objects hold no cycles when it ends, so what is left for the collector is rare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


async def _serve(spec: Spec) -> None:
    stop, stop_now = asyncio.Event(), asyncio.Event()

    def on_signal(number: int) -> None:
        # A supervisor may well send SIGTERM twice; a person's second Ctrl-C means what it says.
        if stop.is_set() and number == signal.SIGINT:
            stop_now.set()
        stop.set()

    balancer = LoadBalancer(spec)
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    await balancer.start()
    _settle()
    for line in _ready(spec, balancer):
        say(line, sys.stdout)
    await stop.wait()
    say(
        f"stopping: requests in flight have {spec.drain_timeout_s:g} s to finish; Ctrl-C again stops at once",
        sys.stderr,
    )
    await _drain(balancer, stop_now)


async def _drain(balancer: LoadBalancer, stop_now: asyncio.Event) -> None:
    """Let requests finish, unless told to stop at once."""
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(balancer.stop())
        hurry = tasks.create_task(stop_now.wait())
        await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        hurry.cancel()
    if stop_now.is_set():
        await balancer.stop(0)


def _ready(spec: Spec, balancer: LoadBalancer) -> list[str]:
    """A line for each listener: where it is, and where its requests go."""
    lines = []
    for listener in spec.listeners:
        targets = list(dict.fromkeys(route.pool for route in listener.routes if route.pool is not None))
        pools = [pool for pool in spec.pools if pool.name in targets]
        shown = "; ".join(f"pool {pool.name} ({pool.policy.name}): {_shown(pool.backends)}" for pool in pools)
        address = balancer.address(listener.name)
        where = f"http://{address}" if address.path is None else str(address)
        lines.append(f"listening on {where} -> {shown or 'fixed answers'}")
    return lines


def _shown(backends: Sequence[BackendSpec]) -> str:
    more = len(backends) - SHOWN_BACKENDS
    return ", ".join(backend.address for backend in backends[:SHOWN_BACKENDS]) + (
        f" and {more} more" if more > 0 else ""
    )
