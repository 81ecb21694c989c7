"""C types for exchange.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick
from steelyard.core.pool cimport Pool
from steelyard.core.retry cimport may_retry
from steelyard.core.router cimport Route, Router
from steelyard.proxy.client cimport Client
from steelyard.proxy.connections cimport Connections, PoolConnections
from steelyard.proxy.context cimport ListenerContext
from steelyard.proxy.request cimport Request
from steelyard.proxy.receiver cimport Receiver
from steelyard.proxy.upstream cimport Upstream
from steelyard.wire.headers cimport request_bytes
from steelyard.wire.peer cimport Peer
from steelyard.wire.http1 cimport RequestHead, ResponseHead

cdef double inf
cdef frozenset _IDEMPOTENT
cdef ResponseHead _GO_ON


cdef class Exchange(Receiver):
    cdef Client client
    cdef ListenerContext context
    cdef readonly RequestHead head
    cdef readonly Request request
    cdef double started
    cdef Route route
    cdef PoolConnections connections
    cdef readonly Backend backend
    cdef Upstream upstream
    cdef object dial
    cdef object timer
    cdef bytes request_head
    cdef list body
    cdef bint body_held
    cdef readonly bint awaits_body
    cdef bint continued
    cdef Py_ssize_t body_bytes
    cdef Py_ssize_t held_bytes
    cdef readonly bint request_done
    cdef int tries
    cdef int tries_here
    cdef bint stale_retried
    cdef double asked_at
    cdef double latency_s
    cdef readonly int status
    cdef Py_ssize_t retry_after_s
    cdef Py_ssize_t sent_bytes
    cdef readonly bint tunnel
    cdef bint client_eof
    cdef bint upstream_eof
    cdef bint client_full
    cdef readonly bint finished
    cdef str label

    @cython.locals(route=Route)
    cpdef start(self, double now)
    cpdef on_request_body(self, bytes data, Py_ssize_t size, double now)
    cpdef on_request_end(self, double now)
    cpdef on_client_full(self)
    cpdef on_client_ready(self, double now)
    cpdef on_client_eof(self, double now)
    cpdef on_client_gone(self, object kind, double now)
    cdef bint _read_ahead(self, double now) except -1
    cdef _stop_waiting(self, double now)
    cdef _first_try(self, double now)
    @cython.locals(kept=Connections, upstream=Upstream)
    cdef _open(self, Backend backend, double now, bint fresh)
    cpdef _on_dialled(self, Upstream upstream, object kind, str detail)
    @cython.locals(to_head_request=bint)
    cdef _send(self, Upstream upstream, double now)
    cdef _let_go(self)
    cpdef on_interim(self, ResponseHead head)
    cpdef bint on_switch(self, ResponseHead head, double now) except -1
    @cython.locals(connections=PoolConnections, other=Backend)
    cpdef on_head(self, ResponseHead head, int framing, double now)
    cdef _remember_backend(self, ResponseHead head)
    cpdef on_body(self, bytes data, Py_ssize_t size, double now)
    cpdef on_pause(self)
    @cython.locals(client=Client, upstream=Upstream, kept=Connections)
    cpdef on_end(self, bint reusable, double now)
    cpdef on_upstream_full(self)
    cpdef on_upstream_ready(self, double now)
    cpdef on_upstream_eof(self, double now)
    @cython.locals(backend=Backend, connections=PoolConnections, client=Client, other=Backend, safe=bint, changed=bint)
    cpdef on_failed(self, object kind, str detail, double now)
    cpdef _try_again(self)
    @cython.locals(connections=PoolConnections)
    cdef Backend _elsewhere(self, object kind, double now)
    cdef _move(self, Backend other, double now, int status=*)
    cdef _fail_for_good(self, object kind, double now)
    @cython.locals(client=Client)
    cdef _refuse(self, object kind, double now)
    @cython.locals(client=Client)
    cdef _respond(self, Route route, double now)
    cpdef on_deadline(self, double now)
    cdef _touch_tunnel(self, double now)
    @cython.locals(client=Client)
    cdef _end_tunnel(self, double now)
    @cython.locals(backend=Backend)
    cdef _release(self, bint failed, double now, int status)
    @cython.locals(failed=bint)
    cdef _finish(self, object kind, double now)
    cdef _record(self, object kind, double now)
