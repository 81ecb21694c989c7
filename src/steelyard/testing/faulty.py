"""A backend for tests that misbehaves as it is told, in the test's own event loop.

    async with FaultyBackend("one") as one, FaultyBackend("two") as two:
        one.fault = faults.Reset("in body")            # from now on
        two.script([faults.Delay(0.1), None])          # the next request, and the one after it
        ...
        assert 1 == len(one.requests)

Without a fault it speaks HTTP/1.1 well: it keeps connections, reads bodies with a Content-Length or in chunks, and
answers 200 with its name. It needs nothing but a running loop, asyncio's or uvloop's. Leaving the block closes the port
and all connections, and raises what a fault of one's own has raised.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from steelyard.testing.faults import HEALTHY, SUCH_AS, BlackHole, Chooser, Fault, Flap, PortFault, Refuse, of_request
from steelyard.testing.talk import Malformed, Over, Request, Talk

BACKLOG: Final = 512
# Linux lets one connection more into a queue than it is long; the rest is to spare.
FILLERS: Final = 4


class FaultyBackend:
    """A backend on a port of its own. name: what it answers, at least one letter; port: 0 is any that is free.

    requests: those whose head has come, in order; connections: how many were accepted; malformed: what came and was no
    request (it was answered 400). They count on until `reset_counts`.
    """

    def __init__(self, name: str = "backend", *, host: str = "127.0.0.1", port: int = 0) -> None:
        if not name:
            raise ValueError("a name is what the backend answers: it must have a letter")
        self.name = name
        self.host = host
        self.port = port
        self.requests: list[Request] = []
        self.connections = 0
        self.malformed: list[bytes] = []
        self._fault: Fault | Chooser | None = None
        self._present: Fault | Chooser | None = None
        self._steps: deque[Fault | None] = deque()
        self._talks: dict[asyncio.Task[None], Talk] = {}
        self._errors: list[Exception] = []
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fillers: list[socket.socket] = []

    @property
    def address(self) -> str:
        """`host:port`, as a configuration has it."""
        return f"{self.host}:{self.port}"

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._talks)

    # What it does wrong.

    @property
    def fault(self) -> Fault | Chooser | None:
        """What every request meets from now on: a value of `faults`, a function of the request that gives one or None,
        or None, which is none. What was scripted is forgotten."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | Chooser | None) -> None:
        if isinstance(fault, type) or not (fault is None or isinstance(fault, Fault) or callable(fault)):
            raise TypeError(f"{fault!r} is no fault; {SUCH_AS}, a function of the request, or None")
        self._steps.clear()
        self._fault = fault
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if isinstance(fault, Flap):
            self._flap(fault, up=True)
        else:
            self._switch(fault)

    def script(self, faults: Sequence[Fault | None], *, repeat_last: bool = False) -> None:
        """What each of the next requests meets (None: nothing); afterwards none does, or all what the last one did.

        A step that strikes on accept is the next connection's.
        """
        for step in faults:
            if step is not None and not isinstance(step, Fault):
                raise TypeError(f"{step!r} is no fault; {SUCH_AS}, or None")
            if isinstance(step, (PortFault, Flap)):
                raise ValueError(f"{step!r} is no fault of one request: set it as backend.fault")
        self.fault = faults[-1] if repeat_last and faults else None
        self._steps.extend(faults)

    def reset_counts(self) -> None:
        """Forget what was counted: connections, requests, malformed."""
        self.connections = 0
        self.requests.clear()
        self.malformed.clear()

    # Its life.

    async def __aenter__(self) -> Self:
        self._bind()
        if not isinstance(self._present, PortFault):
            self._listen()
        else:
            self._switch(self._present)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fault = None
        self._unbind()
        self._end_all(reset=True)
        while self._talks:
            await asyncio.wait(list(self._talks))
        if self._errors and error is None:
            raise self._errors[0]

    # The port.

    def _bind(self) -> None:
        self._sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.setblocking(False)
            self._sock.bind((self.host, self.port))
        except BaseException:
            self._sock.close()
            raise
        self.port = self._sock.getsockname()[1]

    def _unbind(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None

    def _listen(self) -> None:
        assert self._sock is not None
        self._sock.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def _flap(self, fault: Flap, up: bool) -> None:
        self._switch(None if up else fault.down)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(fault.up_s if up else fault.down_s, self._flap, fault, not up)

    def _switch(self, fault: Fault | Chooser | None) -> None:
        """Put a fault into force; where it is one of the port, or was, the port changes."""
        before, self._present = self._present, fault
        if self._sock is None or (not isinstance(before, PortFault) and not isinstance(fault, PortFault)):
            return
        self._unbind()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._bind()  # a socket that is bound and does not listen refuses, and keeps the port for us
        if isinstance(fault, PortFault):
            self._end_all(reset=isinstance(fault, Refuse))
        if isinstance(fault, BlackHole):
            self._fill()
        elif not isinstance(fault, PortFault):
            self._listen()

    def _fill(self) -> None:
        assert self._sock is not None
        self._sock.listen(0)
        for _ in range(FILLERS):
            filler = socket.socket(self._sock.family)
            self._fillers.append(filler)
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))

    def _end_all(self, reset: bool) -> None:
        for task, talk in self._talks.items():
            if reset:
                talk.will_reset()
            task.cancel()  # its end closes the socket, when nobody waits for it any more

    # Its connections.

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while self._sock is not None:
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, ConnectionError):  # nobody is left in the queue, or who was has gone
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            talk = Talk(sock, self.name, self.connections)
            task = loop.create_task(self._serve(talk))
            self._talks[task] = talk
            task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._talks.pop(task).close()

    async def _serve(self, talk: Talk) -> None:
        try:
            await self._converse(talk)
        except Over:
            pass  # they left
        except Malformed as exc:
            self.malformed.append(exc.args[0])
            await _refuse(talk)
        except Exception as exc:  # a fault of somebody's own
            self._errors.append(exc)
        finally:
            talk.close()

    async def _converse(self, talk: Talk) -> None:
        first = self._on_accept()
        if first is not None:
            await first.accept(talk)
        while not talk.over and await talk.read_head():
            if not await self._answer(talk, first):
                return
            first = None

    async def _answer(self, talk: Talk, fault: Fault | None) -> bool:
        """One request, whose head has come; whether another one may follow."""
        assert talk.request is not None
        self.requests.append(talk.request)
        if fault is None:
            fault = self._choose(talk.request)
        if not fault.early:
            await talk.read_body()
        await fault.play(talk)
        return not talk.over and talk.kept() and await talk.skip_body()

    def _on_accept(self) -> Fault | None:
        """What a connection meets before there is a request."""
        step = self._steps[0] if self._steps else self._present
        if not isinstance(step, Fault) or not step.on_accept:
            return None
        return self._steps.popleft() if self._steps else step

    def _choose(self, request: Request) -> Fault:
        if self._steps:
            chosen = self._steps.popleft()
        elif self._present is None or isinstance(self._present, Fault):
            chosen = self._present
        else:
            chosen = self._present(request)
            if chosen is not None:
                of_request(chosen)
        return HEALTHY if chosen is None else chosen


async def _refuse(talk: Talk) -> None:
    with suppress(Over):
        await talk.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
