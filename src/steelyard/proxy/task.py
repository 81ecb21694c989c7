"""The task broker: a client's connection brings one task, a worker does it, its answer goes back, and both close.

    connection_made -> the request (wire/task.py) -> reach (reach.py) -> the worker -> its answer -> close

The request names the policy by which its worker is chosen. A worker that cannot be reached is passed over, and the next
one asked. One that has got the task and fails is the end of it: it is not known whether a task may be done twice, so
its client is told, in one line, and decides. A line of ours comes in place of an answer, never behind a part of one:
an answer that breaks off ends in a reset.

Clients write once and wait; most neither end a line nor close their side. One that does close its side gets its answer
all the same, so one that has gone altogether is noticed when the answer cannot be delivered; a reset is noticed at
once. Answers are any bytes up to the worker's close, and are passed on as they come: who reads slowly holds its worker
back.

Compiled; not subclasses of asyncio.Protocol, since an extension type cannot be one, so they define all callbacks.
"""

import logging
from asyncio import Transport
from collections.abc import Callable
from math import inf
from socket import socket
from typing import Any, Final

from steelyard import errors
from steelyard.core.approaches import APPROACH, names_of
from steelyard.core.backend import Backend
from steelyard.core.stable import stable_hash
from steelyard.errors import Kind, ProtocolError
from steelyard.proxy.call import Call
from steelyard.proxy.clock import Timed
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.guest import reset
from steelyard.proxy.half_close import half_close
from steelyard.proxy.reach import Reach
from steelyard.proxy.task_words import told
from steelyard.proxy.unread import unread
from steelyard.wire.task import Progress, Task, ends_line, error_line, parse, progress

# How long more may be on its way. What could stand as it is waits for less: it may be a whole request that names no
# approach, whose client waits for us. What cannot waits for as long as a lost packet takes (RFC 6298: 1 s).
GRACE_S: Final = {Progress.PERHAPS: 0.2, Progress.NEVER: 0.2, Progress.NOT_YET: 1.0}
# How long, and how much of it, what a client still sends behind our line is thrown away: to close at once would reset
# the connection, and could take the line with it.
LINGER_S: Final = 5.0
LINGER_BYTES: Final = 64 * 1024

_ASKING: Final = 0  # the request has not all come
_WORKING: Final = 1  # a worker is looked for, or at work
_LINGER: Final = 2  # nothing more is sent; what comes is thrown away
_CLOSING: Final = 3  # the last bytes are on their way out

_log = logging.getLogger("steelyard")


class TaskCall(Call):
    """The Pick of one task. A client that names its approach is known by its address, whatever the pool's key is."""

    def __init__(self, client: str, below: Callable[[int], int], now: float, task: Task) -> None:
        super().__init__(client, below, now)
        self.task = task
        if task.approach is not None:
            self.key = stable_hash(client)

    def get(self, name: str) -> str | None:
        """`client_ip`, `approach`; None for all else."""
        if name == APPROACH:
            approach: str | None = self.task.approach
            return approach
        return self.client if name == "client_ip" else None


class TaskUpstream(Timed):
    """The worker's side. downstream: the client's, until one of them is gone."""

    def __init__(self, downstream: "TaskDownstream") -> None:
        self.untimed()
        self.downstream: TaskDownstream | None = downstream
        self.transport: Transport | None = None
        self.sock: socket | None = None
        self.asked = False
        self.early = False
        self.response_s = 0.0

    def fit(self) -> bool:
        """Whether it can be given a task: it is open, and has not spoken before it was spoken to."""
        return self.transport is not None and not self.early

    def ask(self, request: bytes, response_s: float, now: float) -> None:
        """Give it its task. response_s: the time that it has to answer, and between two reads of that."""
        downstream = self.downstream
        if downstream is not None and self.transport is not None:
            self.asked = True
            self.response_s = response_s
            self.transport.write(request)
            downstream.context.wheel.expect(self, now + response_s)

    def close(self) -> None:
        """End it at once; the downstream is told nothing."""
        downstream = self.downstream
        self.downstream = None
        if downstream is not None:
            downstream.context.wheel.forget(self)
        if self.transport is not None:
            self.transport.abort()

    def pause(self) -> None:
        """Stop reading: the client is slower than the worker."""
        self.deadline = inf
        if self.transport is not None:
            self.transport.pause_reading()

    def resume(self, now: float) -> None:
        """Read on."""
        if self.transport is not None and self.downstream is not None:
            self.transport.resume_reading()
            self.downstream.context.wheel.expect(self, now + self.response_s)

    # What the event loop calls.

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        if self.downstream is None:
            self.close()

    def data_received(self, data: bytes) -> None:
        downstream = self.downstream
        if downstream is None:
            return
        if not self.asked:
            self.early = True
            return
        now = downstream.context.wheel.now()
        self.deadline = now + self.response_s
        downstream.on_answer(data, now)

    def eof_received(self) -> bool:
        downstream = self.downstream
        if downstream is not None and self.asked:
            downstream.on_answer_end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        downstream = self.downstream
        self.close()
        if downstream is not None and self.asked:
            downstream.on_worker_lost()

    def pause_writing(self) -> None:
        """A request fits into any kernel's buffer; where it does not, the time to answer runs."""

    def resume_writing(self) -> None:
        pass

    def on_deadline(self, now: float) -> None:
        if self.downstream is not None:
            self.downstream.on_worker_late(self.response_s, now)


class TaskDownstream(Reach):
    """The client's side, and the owner of both. bytes_in: of its request, as far as it has come.

    ended: the client sends no more. over: no task is under way. head_by: when its request must be there. why: the
    latest worker could not be reached.
    """

    def __init__(self, context: ListenerContext) -> None:
        self.begin(context)
        self.upstream: TaskUpstream | None = None
        self.state = _ASKING
        self.bytes_in = b""
        self.task: Task | None = None
        self.ended = False
        self.over = True
        self.full = False
        self.head_by = inf
        self.why = ""
        self.stalled_at = 0
        self.left = LINGER_BYTES

    # The request.

    def connection_made(self, transport: Transport) -> None:
        if not self.arrive(transport):
            return
        context = self.context
        if context.on_record is not None:  # somebody wants to see each connection
            _log.info("[Broker] Connected with %s", _called(transport.get_extra_info("peername")))
        self.head_by = context.wheel.now() + context.head_s
        context.wheel.expect(self, self.head_by)

    def crowded(self) -> None:
        self.ended = True  # it is not to have one more, even for a moment
        self.tell(told(errors.CROWDED), self.context.wheel.now())

    def data_received(self, data: bytes) -> None:
        if self.state == _ASKING:
            self.bytes_in += data
            self.read_on(self.context.wheel.now())
        elif self.state == _WORKING:
            if ends_line(self.bytes_in, data):
                self.bytes_in += data
                self.received = len(self.bytes_in)
            else:
                self.on_bytes_behind(self.context.wheel.now())
        elif self.state == _LINGER:
            self.left -= len(data)
            if self.left < 0 and self.transport is not None:
                self.transport.abort()

    def read_on(self, now: float) -> None:
        """See whether the request is whole."""
        said = progress(self.bytes_in, self.names())
        if said is Progress.WHOLE:
            self.decide(now)
        else:
            self.context.wheel.expect(self, min(self.head_by, now + GRACE_S[said]))

    def names(self) -> frozenset[str]:
        """The approaches that its listener's pool has: none, where a reload has given it another use."""
        connections: PoolConnections | None = self.its_pool()
        return frozenset() if connections is None else names_of(connections.pool.policy)

    def decide(self, now: float) -> None:
        """Take what has come for the request."""
        if not self.names():
            self.turn_away(errors.STOPPING, error_line("no tasks are taken here any more; connect again"), now)
            return
        try:
            task = parse(self.bytes_in, self.names())
        except ProtocolError as exc:
            self.turn_away(exc.kind, error_line(exc.detail), now)
            return
        self.state = _WORKING
        self.deadline = inf
        self.over = False
        self.task = task
        self.received = len(self.bytes_in)
        self.reach(TaskCall(self.client, self.context.below, now, task), now)

    def turn_away(self, kind: Kind, line: bytes, now: float) -> None:
        """There is no request to be had of it."""
        self.note_refused(kind)
        self.tell(line, now)

    def on_bytes_behind(self, now: float) -> None:
        """The client has sent more than its request: then it has meant something else than we took it for."""
        if self.latency_s < 0.0:
            self.fail(errors.BAD_TASK, error_line("bytes behind the request; a connection takes one request"), now)
        else:
            self.break_off(errors.BAD_TASK, now)

    def eof_received(self) -> bool:
        """The client sends no more: True keeps our side open, as it may wait for its answer."""
        self.ended = True
        if self.state == _ASKING and self.bytes_in:
            self.decide(self.context.wheel.now())
        return self.state == _WORKING

    # The worker.

    def upstream_for(self, backend: Backend) -> TaskUpstream:
        return TaskUpstream(self)

    def on_unconnected(self, kind: Kind, detail: str, now: float) -> None:
        self.why = detail
        Reach.on_unconnected(self, kind, detail, now)

    def on_reached(self, upstream: TaskUpstream, now: float) -> None:
        connections: PoolConnections | None = self.connections
        worker = upstream
        assert connections is not None and self.task is not None
        self.upstream = worker
        worker.ask(self.task.forwarded, connections.response_s, now)

    def on_unreached(self, kind: Kind, now: float) -> None:
        self.fail(kind, told(kind, self.label, self.why, self.tries), now)

    def on_answer(self, data: bytes, now: float) -> None:
        """A piece of the answer has come."""
        if self.latency_s < 0.0:
            self.answered(now)
        self.sent += len(data)
        if self.transport is not None:
            self.transport.write(data)

    def on_answer_end(self) -> None:
        """The worker has said all that it had to say."""
        now = self.context.wheel.now()
        if self.latency_s < 0.0:
            self.fail(errors.CLOSED_EARLY, told(errors.CLOSED_EARLY, self.label), now)
            return
        self.finish(None, now)
        self.shut(now)

    def on_worker_lost(self) -> None:
        """The connection to the worker was reset."""
        now = self.context.wheel.now()
        if self.latency_s < 0.0:
            self.fail(errors.CLOSED_EARLY, told(errors.CLOSED_EARLY, self.label), now)
        else:
            self.break_off(errors.TRUNCATED, now)

    def on_worker_late(self, response_s: float, now: float) -> None:
        """The worker has said nothing for too long."""
        if self.latency_s < 0.0:
            self.fail(errors.RESPONSE_TIMEOUT, told(errors.RESPONSE_TIMEOUT, self.label, s=response_s), now)
        else:
            self.break_off(errors.RESPONSE_TIMEOUT, now)

    # The client reads.

    def pause_writing(self) -> None:
        self.full = True
        assert self.transport is not None
        self.stalled_at = unread(self.transport)
        self.context.wheel.expect(self, self.context.wheel.now() + self.context.write_s)
        if self.upstream is not None:
            self.upstream.pause()

    def resume_writing(self) -> None:
        self.full = False
        self.deadline = inf
        now = self.context.wheel.now()
        if self.upstream is not None:
            self.upstream.resume(now)
        elif self.state == _LINGER:
            self.context.wheel.expect(self, now + LINGER_S)

    def on_deadline(self, now: float) -> None:
        if self.full and self.transport is not None:
            left = unread(self.transport)
            if left < self.stalled_at:  # it reads, if slowly
                self.stalled_at = left
                self.context.wheel.expect(self, now + self.context.write_s)
                return
            self.break_off(errors.CLIENT_TOO_SLOW, now)
        elif self.state == _ASKING and self.is_silent(now):
            self.turn_away(errors.REQUEST_TIMEOUT, told(errors.REQUEST_TIMEOUT, s=self.context.head_s), now)
        elif self.state == _ASKING:
            self.decide(now)
        elif self.transport is not None:
            self.transport.abort()

    def is_silent(self, now: float) -> bool:
        """Whether its time is over, and what has come by then is none that could be read."""
        if not self.bytes_in:
            return True
        return now >= self.head_by and progress(self.bytes_in, self.names()) is Progress.NOT_YET

    # The end.

    def fail(self, kind: Kind, line: bytes, now: float) -> None:
        """The task ends with a line of ours, in place of an answer."""
        self.finish(kind, now)
        self.tell(line, now)

    def break_off(self, kind: Kind, now: float) -> None:
        """The answer ends in its middle, and must not look whole."""
        self.finish(kind, now)
        self.state = _CLOSING
        reset(self.transport)

    def tell(self, line: bytes, now: float) -> None:
        """Our line goes out, and the connection ends."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(line)
        if self.ended:
            self.shut(now)
            return
        self.state = _LINGER
        half_close(transport)
        if not self.full:
            self.context.wheel.expect(self, now + LINGER_S)

    def shut(self, now: float) -> None:
        """Close when the last bytes are out."""
        self.state = _CLOSING
        self.deadline = inf
        if self.transport is not None:
            self.transport.close()
            if self.full:
                self.context.wheel.expect(self, now + self.context.write_s)

    def finish(self, kind: Kind | None, now: float) -> None:
        """The only exit of a task: its worker is given back, and its end is counted once."""
        if self.over:
            return
        self.over = True
        self.stop_reaching()
        upstream = self.upstream
        self.upstream = None
        if upstream is not None:
            upstream.close()
        failed = kind is errors.CLOSED_EARLY or kind is errors.RESPONSE_TIMEOUT or kind is errors.TRUNCATED
        self.let_go(failed, now, True)
        self.note_end(kind, now, "TASK", self.bytes_in.rstrip(b"\r\n").decode("latin-1"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.finish(errors.CLIENT_GONE, self.context.wheel.now())
        self.depart()

    def retire(self, now: float) -> None:
        """The balancer stops: who has not begun to ask goes, and who waits for an answer has the drain's time."""
        if self.state == _ASKING and not self.bytes_in:
            self.shut(now)

    def cut(self) -> None:
        now = self.context.wheel.now()
        if self.state == _WORKING and self.latency_s < 0.0:
            self.ended = True  # nobody waits for what it may still send
            self.fail(errors.STOPPING, told(errors.STOPPING, self.label), now)
        else:
            self.break_off(errors.STOPPING, now)


def _called(address: Any) -> str:
    """A client's address for the log."""
    if isinstance(address, str) or not address:
        return address or "a unix socket"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
