"""The tries of one request: a backend is chosen and asked; when that fails another one, as far as that does no harm.

    acquire -> take or dial -> send -> (an answer: exchange.py)
      ^  ^                      |
      |  +---- may_retry? ---- on_failed        a second one beside a slow first: hedge.py
    queue.py (a full pool)

Each backend that is acquired is given back exactly once, in `_give_back`. The second backend is asked at once; before a
third one, or before the same one again, there is a pause, so that a crowd whose tries fail at one moment does not come
again at one moment. All of this but the first try costs from the pool's retry budget.

Source: the rules of retries are in core/retry.py; Envoy (per-try timeout, hedging).
"""

from asyncio import TimerHandle
from typing import Final

from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.core.policy import UNKNOWN_S
from steelyard.core.pool import Refusal
from steelyard.core.retry import IDEMPOTENT, SAFE, backoff_s, may_retry
from steelyard.core.router import Route
from steelyard.errors import Kind, Phase, Side
from steelyard.observe.counters import HEDGES, HEDGES_WON, QUEUED, RETRIES, RETRIES_REFUSED, STALE_SAVED
from steelyard.proxy.client import Client
from steelyard.proxy.connections import Connections, PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.dial import Dial
from steelyard.proxy.hedge import Hedge
from steelyard.proxy.queue import Queue
from steelyard.proxy.receiver import Receiver
from steelyard.proxy.request import Request
from steelyard.proxy.retry_after import retry_after_s
from steelyard.proxy.upstream import Upstream
from steelyard.wire.headers import request_bytes
from steelyard.wire.http1 import RequestHead, ResponseHead
from steelyard.wire.peer import Peer

_IDEMPOTENT: Final = frozenset([method.encode() for method in IDEMPOTENT])
_SAFE: Final = frozenset([method.encode() for method in SAFE])
NO_STATUS: Final = 0
OVERTAKEN: Final = -1  # in place of a status: a hedge was quicker (core/pool.py)


def is_failure(status: int) -> bool:
    """Whether a status says that the backend cannot: not where it is the request that it does not know (501, 505)."""
    return status >= 500 and status != 501 and status != 505


def blames(kind: Kind) -> bool:
    """Whether a failure speaks against the backend: not where it closed a kept connection, as it may."""
    return kind.side is Side.BACKEND and kind is not errors.STALE


class Tries(Receiver):
    """One request, and the backends that it is tried at. An exchange is one: it hears the answer, and ends it all.

    body: the pieces of the request's body that may have to be sent (again); None when they were let go.
    """

    def prepare(self, client: Client, context: ListenerContext, head: RequestHead, peer: Peer, now: float) -> None:
        """Begin with nothing tried. In place of an __init__, which would cost a call through Python."""
        self.untimed()
        self.client: Client | None = client
        self.context = context
        self.head = head
        self.request = Request(head, peer, context.below, now)
        self.route: Route | None = None
        self.connections: PoolConnections | None = None
        self.backend: Backend | None = None
        self.upstream: Upstream | None = None
        self.dial: Dial | None = None
        self.hedge: Hedge | None = None
        self.queued = False
        self.pausing = False  # the next backend is acquired, and asked after a pause
        self.timer: TimerHandle | None = None  # until the next try, be it after this one or beside it
        self.try_timer: TimerHandle | None = None
        self.request_head = b""
        self.body: list[bytes] | None = None
        self.body_held = True
        self.held_bytes = 0
        self.request_done = False
        self.tries = 0
        self.tries_here = 0
        self.failed_here: tuple[Kind, str] | None = None  # the latest one, while the next one here is waited for
        self.stale_retried = False
        self.asked_at = now
        self.latency_s = UNKNOWN_S  # of this try
        self.status = 0
        self.retry_after_s = 1
        self.client_full = False
        self.held_back = False  # the backend, by a client that read slowly
        self.label = "-"

    # What the exchange does.

    def refuse(self, kind: Kind, now: float) -> None:
        """Answer with the failure itself, and end."""
        raise NotImplementedError

    def finish(self, kind: Kind | None, now: float) -> None:
        """End; all that was acquired is given back."""
        raise NotImplementedError

    # Choosing a backend.

    def first_try(self, now: float) -> None:
        assert self.connections is not None and self.route is not None
        self.request.whole = self.request_done
        queue = self.connections.queue
        if queue is not None and queue.must_wait(self.route.priority, now):
            self._wait_in(queue, self.connections.pool.full, now)
            return
        chosen = self.connections.pool.acquire(self.request)
        if isinstance(chosen, Backend):
            self._begin(chosen, now)
        elif queue is not None and chosen is self.connections.pool.full:
            self._wait_in(queue, chosen, now)
        else:
            self._turn_away(chosen, now)

    def _turn_away(self, refusal: Refusal, now: float) -> None:
        self.retry_after_s = refusal.retry_after_s
        self.refuse(refusal.kind, now)

    def _wait_in(self, queue: Queue, full: Refusal, now: float) -> None:
        """Wait for a place, or hear that there is not even one to wait in."""
        assert self.route is not None
        if not queue.join(self, self.route.priority, now):
            self._turn_away(full, now)
            return
        self.queued = True
        self.context.counters.add(QUEUED)
        if self.client is not None and not self.request_done and not self.may_hold_more():
            self.client.pause()

    def may_hold_more(self) -> bool:
        """While it waits in a queue, the client is read as long as its body is held: so it is seen when it leaves."""
        return self.queued and self.connections is not None and self.held_bytes <= self.connections.hold_bytes

    def on_turn(self, now: float) -> bool:
        """Its turn in the queue: True when that is over for it."""
        assert self.connections is not None and self.connections.queue is not None
        self.request.now = now
        self.request.whole = self.request_done
        chosen = self.connections.pool.acquire(self.request)
        if chosen is self.connections.pool.full:
            return False
        self.queued = False
        self.connections.queue.leave(self)
        if isinstance(chosen, Backend):
            self.asked_at = now  # the time that it waited is not the backend's
            self._begin(chosen, now)
        else:
            self._turn_away(chosen, now)
        return True

    def on_wait_over(self, now: float) -> None:
        """It has waited too long, or for one that goes first, and is in the queue no more."""
        self.queued = False
        self.refuse(errors.QUEUE_TIMEOUT, now)

    def _begin(self, backend: Backend, now: float) -> None:
        """The first try, at an acquired backend."""
        assert self.connections is not None
        if self.request.body is not None and not self.connections.pool.policy.reads_body:
            self.request.body = None  # the key was taken of it; parsed, it may take twenty times its bytes
        if self.connections.probes is not None:
            self.connections.probes.wake(now)
        if self.connections.hedge_s >= 0.0 and self.head.method in _SAFE and self.head.upgrade is None:
            self.timer = self.context.loop.call_later(self.connections.hedge_s, self._hedge)
        self._open(backend, now, False)

    def _open(self, backend: Backend, now: float, fresh: bool) -> None:
        """Get a connection to an acquired backend. fresh: not a kept one."""
        assert self.connections is not None
        self.backend = backend
        self.pausing = False
        self.tries += 1
        self.time_try()
        kept: Connections = self.connections.of(backend)
        upstream = None if fresh else kept.take()
        if upstream is None:
            self.dial = kept.dial(self.on_dialled)
            if self.client is not None and not self.request_done:
                self.client.pause()
        else:
            self._send(upstream, now)

    def on_dialled(self, upstream: Upstream | None, kind: Kind | None, detail: str) -> None:
        """The connection that the current try wanted is open, or there is none."""
        now = self.context.wheel.now()
        self.dial = None
        if upstream is None:
            assert kind is not None
            self.on_failed(kind, detail, now)
        else:
            self._send(upstream, now)

    def _send(self, upstream: Upstream, now: float) -> None:
        """The request goes out, as far as it has come."""
        assert self.client is not None
        self.upstream = upstream
        self.send_to(upstream, self, now)
        if self.body is not None:
            self.let_go()
        if self.client_full:
            upstream.pause()
        if upstream.full:
            self.client.pause()
        else:
            self.client.resume(now)

    def send_to(self, upstream: Upstream, receiver: Receiver, now: float) -> None:
        """Ask over this connection, for an answer to that receiver."""
        assert self.connections is not None and self.client is not None
        if not self.request_head:
            self.request_head = request_bytes(self.head, self.request.peer)
        to_head_request = self.head.method == b"HEAD"
        upstream.ask(receiver, to_head_request, not self.client.takes_chunks, self.connections.response_s)
        if self.request_done:
            upstream.await_answer(now)
        if self.body is None:
            upstream.write(self.request_head)
        else:
            upstream.write_all([self.request_head, *self.body])

    def let_go(self) -> None:
        """Keep the sent pieces only while they may be needed for another try."""
        assert self.connections is not None
        if self.held_bytes > self.connections.hold_bytes or self.head.method not in _IDEMPOTENT:
            self.body = None
            self.body_held = False

    def ask_elsewhere(self, head: ResponseHead, now: float) -> bool:
        """An answer is not taken for one, and its backend is left: False when it must be taken all the same."""
        assert self.upstream is not None and self.backend is not None
        self._leave_alone(self.backend, head, now)
        races = self.hedge is not None and not self.hedge.leads
        other = None if races else self._elsewhere(errors.STATUS, now)
        if not races and other is None:
            return False
        self.upstream.close()
        self.upstream = None
        if other is not None:
            self._move(other, True, head.status, now)
        else:
            self._follow_hedge(True, head.status, now)
        return True

    def _leave_alone(self, backend: Backend, head: ResponseHead, now: float) -> None:
        """Ask a backend for nothing as long as it asks for that, with an answer that is not taken for one."""
        assert self.connections is not None
        wait_s = retry_after_s(head) if head.status == 503 else None
        if wait_s is not None:
            self.connections.pool.hold(backend, now + wait_s, now)

    # When something fails.

    def on_failed(self, kind: Kind, detail: str, now: float) -> None:
        self.upstream = None
        self._stop_try_timer()
        backend, connections, client = self.backend, self.connections, self.client
        assert backend is not None and connections is not None and client is not None
        if self.status:
            client.abort(kind)
            self.finish(kind, now)
            return
        safe = may_retry(kind, self.head.method in _IDEMPOTENT, self.body_held, False)
        if kind is errors.STALE and safe and not self.stale_retried:
            # The backend closed a kept connection, as it may: no failure of its own, and no retry to count.
            self.stale_retried = True
            self.context.counters.add(STALE_SAVED)
            self.tries -= 1
            self._open(backend, now, True)
            return
        self.stop_timers()
        races = self.hedge is not None and not self.hedge.leads
        if safe and not races and self.tries_here < connections.same_backend and self._bears_retry(kind, now):
            self.timer = self.context.loop.call_later(self._pause_s(self.tries_here), self._try_again)
            self.tries_here += 1
            self.failed_here = kind, detail
            return
        self._hold_against(backend, kind, detail, connections.mark_down and safe, now)
        if races:
            self._follow_hedge(self.is_blamed(kind), NO_STATUS, now)
            return
        other = self._elsewhere(kind, now)
        if other is not None:
            self._move(other, self.is_blamed(kind), NO_STATUS, now)
        else:
            # With mark_down every backend that was tried is down now: the client hears what all others will.
            if connections.mark_down and safe:
                kind = errors.NONE_UP
                self.retry_after_s = connections.pool.none_up.retry_after_s
            self.refuse(kind, now)

    def _hold_against(self, backend: Backend, kind: Kind, detail: str, mark_down: bool, now: float) -> None:
        """Let the pool know how a try failed, as far as that says something about who is up."""
        assert self.connections is not None
        pool = self.connections.pool
        changed = kind.phase is Phase.CONNECT and blames(kind) and pool.connect_failed(backend, now)
        if mark_down:
            changed = pool.mark_down(backend, now) or changed
        if changed:
            self.connections.on_change(pool, backend, False, detail)

    def _bears_retry(self, kind: Kind, now: float) -> bool:
        """Whether the pool's budget has one more try after such a failure; taken, or the refusal counted."""
        assert self.connections is not None
        if self.connections.pool.bears_retry(kind, now):
            return True
        self.context.counters.add(RETRIES_REFUSED)
        return False

    def _pause_s(self, number: int) -> float:
        """How long to wait before a try. number: of such waits before."""
        assert self.connections is not None
        return backoff_s(self.connections.delay_s, self.connections.max_delay_s, number, self.context.below)

    def _try_again(self) -> None:
        """The next try, at a backend that is acquired."""
        self.timer = None
        self.failed_here = None
        assert self.backend is not None
        now = self.context.wheel.now()
        if self.tries_here == 0:
            self.asked_at = now  # the pause was ours; one between two tries at the same backend is its own
        self.context.counters.add(RETRIES)
        self._open(self.backend, now, False)

    def time_try(self) -> None:
        """Let the time of this try run: from when the request is whole, for a slow client is not the backend's."""
        assert self.connections is not None
        if self.connections.try_s >= 0.0 and self.request_done:
            self._stop_try_timer()
            self.try_timer = self.context.loop.call_later(self.connections.try_s, self._on_try_timeout)

    def _on_try_timeout(self) -> None:
        self.try_timer = None
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
        if self.upstream is not None:
            self.upstream.close()
        self.on_failed(errors.TRY_TIMEOUT, "no answer in the time of a try", self.context.wheel.now())

    def _stop_try_timer(self) -> None:
        if self.try_timer is not None:
            self.try_timer.cancel()
            self.try_timer = None

    def stop_timers(self) -> None:
        """Nothing is waited for any more but what is going on."""
        self._stop_try_timer()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _elsewhere(self, kind: Kind, now: float) -> Backend | None:
        """Another backend for one more try, acquired; None when no more try is allowed, or there is no other."""
        connections = self.connections
        assert connections is not None and self.backend is not None
        self._note_tried(self.backend)
        if self._count_tried() >= connections.tries:
            return None
        if not may_retry(kind, self.head.method in _IDEMPOTENT, self.body_held, False):
            return None
        self.request.now = now
        self.request.whole = self.request_done
        if not connections.pool.has_other(self.request) or not self._bears_retry(kind, now):
            return None
        chosen = connections.pool.acquire(self.request)
        if isinstance(chosen, Backend):
            return chosen
        connections.pool.spared_retry(kind)
        return None

    def _note_tried(self, backend: Backend) -> None:
        """This request must not get that backend again."""
        if self.request.tried is None:
            self.request.tried = []
        if not self.request.has_tried(backend):
            self.request.tried.append(backend)

    def _count_tried(self) -> int:
        """How many backends this request has left."""
        return 0 if self.request.tried is None else len(self.request.tried)

    def is_blamed(self, kind: Kind) -> bool:
        """Whether a failure speaks against the backend that was asked, and not only against its client.

        Who has not sent its request to the end may be why there was no answer, and who reads slowly may be why an
        answer took long, or broke off.
        """
        if self.pausing or not blames(kind):
            return False
        if kind.phase is Phase.CONNECT:
            return True
        begun = self.latency_s >= 0.0
        return self.request_done and not (begun and (self.held_back or kind is errors.TOTAL_TIMEOUT))

    def _move(self, other: Backend, failed: bool, status: int, now: float) -> None:
        """Leave this backend for another one that is acquired: at once, but for a third one and those after it.

        failed: that is held against it. status: of its answer, NO_STATUS where none came.
        """
        assert self.connections is not None
        self._leave(failed, status, now)
        if self.connections.probes is not None:
            self.connections.probes.wake(now)
        self.asked_at = now
        if self._count_tried() < 2:
            self.context.counters.add(RETRIES)
            self._open(other, now, False)
        else:
            self.backend = other
            self.pausing = True
            self.timer = self.context.loop.call_later(self._pause_s(self._count_tried() - 2), self._try_again)

    def _leave(self, failed: bool, status: int, now: float) -> None:
        """Give this backend back, for another one."""
        self.release(failed, status, now, False)
        self.latency_s = UNKNOWN_S
        self.tries_here = 0
        self.stale_retried = False

    # A second try beside the first.

    def _hedge(self) -> None:
        """The first try takes long: ask another backend as well, if there is one and the budget bears it."""
        self.timer = None
        connections = self.connections
        assert connections is not None and self.backend is not None
        if not self.request_done or not self.body_held or connections.pool.is_at_limit():
            return  # where requests wait for a place nobody gets two
        now = self.context.wheel.now()
        self._note_tried(self.backend)
        self.request.now = now
        if self._count_tried() >= connections.tries or not connections.pool.has_other(self.request):
            return
        if not connections.pool.retry.withdraw(now):
            self.context.counters.add(RETRIES_REFUSED)
            return
        chosen = connections.pool.acquire(self.request)
        if isinstance(chosen, Backend):
            self.tries += 1
            self.context.counters.add(HEDGES)
            self.hedge = Hedge(self, chosen, now)
            self.hedge.start(connections.of(chosen), now)
        else:
            connections.pool.retry.put_back()

    def on_hedge_won(self, now: float) -> None:
        """The second try is answered first."""
        self.context.counters.add(HEDGES_WON)
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
        if self.upstream is not None:
            self.upstream.close()
        self.latency_s = now - self.asked_at
        self._follow_hedge(False, OVERTAKEN, now)

    def on_hedge_failed(self, kind: Kind, detail: str, now: float) -> None:
        """The second try has failed; the first goes on."""
        assert self.hedge is not None and self.connections is not None
        if kind is errors.STALE:  # as for a first try: a kept connection had ended
            self.context.counters.add(STALE_SAVED)
            self.hedge.dial_anew(self.connections.of(self.hedge.backend))
            return
        self._hold_against(self.hedge.backend, kind, detail, False, now)
        self._end_hedge(blames(kind), NO_STATUS, now)

    def on_hedge_refused(self, head: ResponseHead, now: float) -> None:
        """The second backend says that it cannot: what the first one says may be better."""
        assert self.hedge is not None and self.connections is not None
        if head.status in self.connections.on_status:
            self._leave_alone(self.hedge.backend, head, now)
        self._end_hedge(is_failure(head.status), head.status, now)

    def _follow_hedge(self, failed: bool, status: int, now: float) -> None:
        """The second try is the only one from here on. failed: the first one has, with this status."""
        hedge = self.hedge
        assert hedge is not None
        self._leave(failed, status, now)
        hedge.leads = True
        self.backend = hedge.backend
        self.upstream = hedge.upstream
        self.dial = hedge.dial
        self.asked_at = hedge.asked_at
        if self.upstream is not None and self.client_full:
            self.upstream.pause()
        self.stop_timers()
        self.time_try()

    def drop_hedge(self, now: float) -> None:
        """The first try was answered, or nobody waits any more."""
        if self.hedge is not None and not self.hedge.leads:
            self.hedge.drop()
            self._end_hedge(False, NO_STATUS, now)

    def _end_hedge(self, failed: bool, status: int, now: float) -> None:
        hedge = self.hedge
        assert hedge is not None
        self.hedge = None
        self._note_tried(hedge.backend)
        self._give_back(hedge.backend, failed, UNKNOWN_S, status, now, False)

    # The end of a try.

    def release(self, failed: bool, status: int, now: float, final: bool) -> None:
        """Give the acquired backend back. status: of its answer, NO_STATUS where none came. final: for good."""
        backend = self.backend
        if backend is not None:
            assert self.connections is not None
            self.backend = None
            self.label = backend.label
            if self.failed_here is not None:  # over in the pause: there is no next one, whose end would count
                kind, detail = self.failed_here
                self.failed_here = None
                self._hold_against(backend, kind, detail, False, now)
                failed = failed or self.is_blamed(kind)
            self._give_back(backend, failed, self.latency_s, status, now, final)

    def _give_back(
        self, backend: Backend, failed: bool, latency_s: float, status: int, now: float, final: bool
    ) -> None:
        """The end of a try, and of the request's place there."""
        assert self.connections is not None
        self.connections.pool.release(self.request, backend, failed, now, latency_s, status, final)
        if self.connections.queue is not None:
            self.connections.queue.wake()
