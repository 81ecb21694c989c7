"""Opening one connection to a backend: resolve, connect, wrap.

The only coroutine behind a request, and not on the usual path: kept connections need no dial. Names are resolved
anew for each dial, so that a changed DNS answer takes effect without a reload; each address is tried in turn.
Where there is no descriptor left for it that is our own fault: it is said, but no more than once a minute.
"""

import logging
import os
import resource
from asyncio import AbstractEventLoop, CancelledError, Task
from collections.abc import Callable
from errno import EMFILE, ENFILE
from socket import AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, gaierror, inet_pton, socket
from typing import Any, Final

from steelyard import errors
from steelyard.core.spec import BackendSpec
from steelyard.errors import Kind
from steelyard.proxy.clock import Timed, Wheel
from steelyard.proxy.upstream import Upstream

# Descriptors run out under load, when every dial fails: a line for each would be a flood of its own.
SAY_EVERY_S: Final = 60.0

_log = logging.getLogger("steelyard")

# Called once: with the open connection, or with None and why there is none.
Done = Callable[[Upstream | None, Kind | None, str], None]


class NoFiles:
    """Says that descriptors have run out, which limit that is, and how it is raised."""

    def __init__(self) -> None:
        self.next_at: float | None = None

    def say(self, errno: int | None, now: float, so: str = "") -> None:
        """now: monotonic seconds. so: what comes of it."""
        if self.next_at is not None and now < self.next_at:
            return
        self.next_at = now + SAY_EVERY_S
        if errno == EMFILE:
            limit = f"this process may have {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}"
            mend = "raise it with `ulimit -n`, or LimitNOFILE= in its systemd unit"
        else:
            limit, mend = "the system has no more for anybody", "raise sysctl fs.file-max"
        so = so or f"requests are refused with {errors.NO_FILES.status}"
        _log.error("out of file descriptors: %s; %s; %s", limit, so, mend)


# One for the process, as the limit is.
no_files = NoFiles()


class Dial(Timed):
    """One attempt to open a connection, with a deadline; `cancel` ends it without a word."""

    def __init__(self, loop: AbstractEventLoop, wheel: Wheel, upstream: Upstream, done: Done) -> None:
        super().__init__()
        self.loop = loop
        self.wheel = wheel
        self.upstream = upstream
        self.done: Done | None = done
        self.task: Task[None] | None = None

    def start(self, backend: BackendSpec, timeout_s: float) -> None:
        self.wheel.expect(self, self.wheel.now() + timeout_s)
        self.task = self.loop.create_task(self.run(backend))

    async def run(self, backend: BackendSpec) -> None:
        sock: socket | None = None
        try:
            sock = await connect(self.loop, backend)
            self.upstream.sock = sock
            handed_over, sock = sock, None  # from here on the event loop closes it, whatever happens
            await self.loop.create_connection(lambda: self.upstream, sock=handed_over)  # type: ignore[type-var]
        except OSError as exc:
            if sock is not None:
                sock.close()
            ours = exc.errno in (EMFILE, ENFILE)
            if ours:
                no_files.say(exc.errno, self.loop.time())
            self.finish(errors.NO_FILES if ours else errors.CONNECT_FAILED, why(exc))
        except CancelledError:
            if sock is not None:
                sock.close()
            raise
        except Exception as exc:  # a bug: the exchange must end all the same
            if sock is not None:
                sock.close()
            self.loop.call_exception_handler({"message": "a dial failed", "exception": exc})
            self.finish(errors.INTERNAL, str(exc))
        else:
            self.finish(None, "")

    def finish(self, kind: Kind | None, detail: str) -> None:
        done, self.done = self.done, None
        self.wheel.forget(self)
        if done is None:
            self.upstream.close()
        elif kind is None and not self.upstream.fit():
            self.upstream.close()
            done(None, errors.CONNECT_FAILED, "it closed, or spoke, before it was asked")
        elif kind is None:
            done(self.upstream, None, "")
        else:
            done(None, kind, detail)

    def on_deadline(self, now: float) -> None:
        # One that is open may have been heard already; its task tells of it in the loop's next round.
        if self.upstream.transport is not None:
            return
        done, self.done = self.done, None
        self.cancel()
        if done is not None:
            done(None, errors.CONNECT_TIMEOUT, "the backend did not accept in time")

    def cancel(self) -> None:
        self.done = None
        self.wheel.forget(self)
        if self.task is not None and not self.task.done():
            self.task.cancel()
            self.upstream.close()  # it may be open already, and hear from its backend before the task is run


def why(exc: OSError) -> str:
    """The reason in the system's own words: event loops wrap them in words of their own."""
    return os.strerror(exc.errno).lower() if exc.errno and not isinstance(exc, gaierror) else str(exc)


async def connect(loop: AbstractEventLoop, backend: BackendSpec) -> socket:
    """A connected, non-blocking socket to the first of the host's addresses that accepts, or to the path; OSError else.

    A unix socket whose queue is full refuses at once (EAGAIN), which no event loop waits for: it counts as refused.
    """
    last: OSError | None = None
    for family, address in await _addresses(loop, backend):
        sock = socket(family, SOCK_STREAM)
        try:
            sock.setblocking(False)
            if family == AF_UNIX:
                sock.connect(address)
            else:
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                await loop.sock_connect(sock, address)
        except OSError as exc:
            sock.close()
            last = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last if last is not None else OSError(f"{backend.host} has no address")


async def _addresses(loop: AbstractEventLoop, backend: BackendSpec) -> list[tuple[int, Any]]:
    """What a host stands for: (family, address) pairs. An IP address needs no resolver, and no thread for it."""
    if backend.path is not None:
        return [(AF_UNIX, backend.path)]
    host, port = backend.host, backend.port
    for family in (AF_INET, AF_INET6):
        try:
            inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    return [(found[0], found[4]) for found in await loop.getaddrinfo(host, port, type=SOCK_STREAM)]
