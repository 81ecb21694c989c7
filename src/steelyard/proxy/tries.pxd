"""C types for tries.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick
from steelyard.core.pool cimport Pool, Refusal
from steelyard.core.retry cimport backoff_s, may_retry
from steelyard.core.router cimport Route
from steelyard.observe.counters cimport Counters
from steelyard.proxy.client cimport Client
from steelyard.proxy.connections cimport Connections, PoolConnections
from steelyard.proxy.context cimport ListenerContext
from steelyard.proxy.request cimport Request
from steelyard.proxy.receiver cimport Receiver
from steelyard.proxy.upstream cimport Upstream
from steelyard.wire.headers cimport request_bytes
from steelyard.wire.peer cimport Peer
from steelyard.wire.http1 cimport RequestHead, ResponseHead

cdef double UNKNOWN_S
cdef int NO_STATUS, OVERTAKEN
cdef int HEDGES, HEDGES_WON, QUEUED, RETRIES, RETRIES_REFUSED, STALE_SAVED
cdef frozenset _IDEMPOTENT, _SAFE

cpdef bint is_failure(int status) except -1
cpdef bint blames(object kind) except -1


cdef class Tries(Receiver):
    cdef Client client
    cdef readonly ListenerContext context
    cdef readonly RequestHead head
    cdef readonly Request request
    cdef Route route
    cdef PoolConnections connections
    cdef readonly Backend backend
    cdef Upstream upstream
    cdef object dial
    cdef readonly object hedge
    cdef readonly bint queued
    cdef bint pausing
    cdef object timer
    cdef object try_timer
    cdef bytes request_head
    cdef list body
    cdef bint body_held
    cdef Py_ssize_t held_bytes
    cdef readonly bint request_done
    cdef int tries
    cdef int tries_here
    cdef tuple failed_here
    cdef bint stale_retried
    cdef double asked_at
    cdef double latency_s
    cdef readonly int status
    cdef Py_ssize_t retry_after_s
    cdef bint client_full
    cdef bint held_back
    cdef str label

    cdef prepare(self, Client client, ListenerContext context, RequestHead head, Peer peer, double now)
    cpdef refuse(self, object kind, double now)
    cpdef finish(self, object kind, double now)
    @cython.locals(pool=Pool)
    cdef first_try(self, double now)
    cdef _turn_away(self, Refusal refusal, double now)
    cpdef bint may_hold_more(self) except -1
    cdef _wait_in(self, queue, Refusal full, double now)
    @cython.locals(pool=Pool)
    cpdef bint on_turn(self, double now) except -1
    cpdef on_wait_over(self, double now)
    cdef _begin(self, Backend backend, double now)
    @cython.locals(kept=Connections, upstream=Upstream)
    cdef _open(self, Backend backend, double now, bint fresh)
    cpdef on_dialled(self, Upstream upstream, object kind, str detail)
    cdef _send(self, Upstream upstream, double now)
    @cython.locals(to_head_request=bint)
    cpdef send_to(self, Upstream upstream, Receiver receiver, double now)
    cdef let_go(self)
    @cython.locals(other=Backend, races=bint)
    cdef bint ask_elsewhere(self, ResponseHead head, double now) except -1
    cdef _leave_alone(self, Backend backend, ResponseHead head, double now)
    @cython.locals(backend=Backend, connections=PoolConnections, client=Client, other=Backend, safe=bint, races=bint)
    cpdef on_failed(self, object kind, str detail, double now)
    @cython.locals(pool=Pool, changed=bint)
    cdef _hold_against(self, Backend backend, object kind, str detail, bint mark_down, double now)
    cdef bint _bears_retry(self, object kind, double now) except -1
    cdef double _pause_s(self, int number) except -1
    cpdef _try_again(self)
    cdef time_try(self)
    cpdef _on_try_timeout(self)
    cdef _stop_try_timer(self)
    cdef stop_timers(self)
    @cython.locals(connections=PoolConnections)
    cdef Backend _elsewhere(self, object kind, double now)
    cdef _note_tried(self, Backend backend)
    cdef int _count_tried(self) except -1
    cdef bint is_blamed(self, object kind) except -1
    cdef _move(self, Backend other, bint failed, int status, double now)
    cdef _leave(self, bint failed, int status, double now)
    @cython.locals(connections=PoolConnections)
    cpdef _hedge(self)
    cpdef on_hedge_won(self, double now)
    cpdef on_hedge_failed(self, object kind, str detail, double now)
    cpdef on_hedge_refused(self, ResponseHead head, double now)
    cdef _follow_hedge(self, bint failed, int status, double now)
    cdef drop_hedge(self, double now)
    cdef _end_hedge(self, bint failed, int status, double now)
    @cython.locals(backend=Backend)
    cdef release(self, bint failed, int status, double now, bint final)
    cdef _give_back(self, Backend backend, bint failed, double latency_s, int status, double now, bint final)
