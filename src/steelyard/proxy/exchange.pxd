"""C types for exchange.py."""

cimport cython
from steelyard.core.policy cimport Pick
from steelyard.core.ratelimit cimport RateLimit
from steelyard.core.router cimport Route, Router
from steelyard.observe.counters cimport Counters
from steelyard.proxy.client cimport Client
from steelyard.proxy.connections cimport Connections, PoolConnections
from steelyard.proxy.context cimport ListenerContext
from steelyard.proxy.tries cimport Tries, is_failure
from steelyard.proxy.upstream cimport Upstream
from steelyard.wire.peer cimport Peer
from steelyard.wire.http1 cimport RequestHead, ResponseHead

cdef double inf
cdef int NO_STATUS
cdef ResponseHead _GO_ON


cdef class Exchange(Tries):
    cdef double started
    cdef readonly bint awaits_body
    cdef bint continued
    cdef Py_ssize_t body_bytes
    cdef Py_ssize_t sent_bytes
    cdef readonly bint tunnel
    cdef bint client_eof
    cdef bint upstream_eof
    cdef readonly bint finished
    cdef readonly bint counted

    @cython.locals(route=Route)
    cpdef start(self, double now)
    @cython.locals(wait_s=double)
    cdef bint _is_limited(self, RateLimit limit, double now) except -1
    cpdef on_request_body(self, bytes data, Py_ssize_t size, double now)
    cpdef on_request_end(self, double now)
    cpdef on_client_full(self)
    cpdef on_client_ready(self, double now)
    cpdef on_client_eof(self, double now)
    cpdef on_client_gone(self, object kind, double now)
    cdef bint _read_ahead(self, double now) except -1
    cdef _stop_waiting(self, double now)
    cpdef on_interim(self, ResponseHead head)
    cpdef bint on_switch(self, ResponseHead head, double now) except -1
    @cython.locals(connections=PoolConnections)
    cpdef on_head(self, ResponseHead head, int framing, double now)
    cdef _remember_backend(self, ResponseHead head)
    cpdef on_body(self, bytes data, Py_ssize_t size, double now)
    cpdef on_pause(self)
    @cython.locals(client=Client, upstream=Upstream, kept=Connections)
    cpdef on_end(self, bint reusable, double now)
    cpdef on_upstream_full(self)
    cpdef on_upstream_ready(self, double now)
    cpdef on_upstream_eof(self, double now)
    cdef _fail_for_good(self, object kind, double now)
    @cython.locals(client=Client)
    cpdef refuse(self, object kind, double now)
    @cython.locals(client=Client)
    cdef _respond(self, Route route, double now)
    cpdef on_deadline(self, double now)
    cdef _touch_tunnel(self, double now)
    @cython.locals(client=Client)
    cdef _end_tunnel(self, double now)
    @cython.locals(status=int)
    cpdef finish(self, object kind, double now)
    cdef _record(self, object kind, double now)
