"""C types for downstream.py."""

from libc.stdint cimport uint64_t
cimport cython
from steelyard.core.crowd cimport Crowd
from steelyard.proxy.client cimport Client
from steelyard.proxy.context cimport ListenerContext
from steelyard.proxy.exchange cimport Exchange
from steelyard.wire.chunked cimport ChunkScanner
from steelyard.wire.headers cimport response_pieces
from steelyard.wire.peer cimport Peer
from steelyard.wire.http1 cimport RequestHead, ResponseHead, scan_request
from steelyard.wire.slices cimport cut

cdef int MAX_AHEAD_BYTES, MAX_TURNS, JOIN_BYTES, LINGER_BYTES
cdef double LINGER_S, inf
cdef int LENGTH, CHUNKED, UNKNOWN
cdef int _HEAD, _BODY, _ANSWER, _TUNNEL, _LINGER, _CLOSING, _CLOSED
cdef bytes _CLOSE_LINE, _KEEP_LINE


cdef class Downstream(Client):
    cdef readonly ListenerContext context
    cdef readonly object transport
    cdef readonly Peer peer
    cdef readonly Exchange exchange
    cdef int state
    cdef bytes buffer
    cdef Py_ssize_t at
    cdef bint head_begun
    cdef bint reading
    cdef long remaining
    cdef ChunkScanner scanner
    cdef int minor
    cdef bint keep
    cdef bint to_head_request
    cdef int framing
    cdef list out
    cdef bint wraps
    cdef readonly bint paused
    cdef readonly bint full
    cdef Py_ssize_t stalled_at
    cdef public bint counted
    cdef Crowd crowd
    cdef uint64_t crowd_key
    cdef double body_due
    cdef double held_at

    @cython.locals(context=ListenerContext, now=double)
    cpdef connection_made(self, transport)
    cdef join(self, Crowd crowd, double now)
    @cython.locals(now=double, pos=Py_ssize_t)
    cpdef data_received(self, bytes data)
    @cython.locals(begun=bint)
    cdef receive_head(self, bytes data)
    cdef take_in(self, bytes data)
    cdef Py_ssize_t waiting(self) except -1
    cdef Py_ssize_t most_ahead(self) except -1
    cdef hold_back(self)
    @cython.locals(turns=int)
    cpdef read_on(self)
    cdef await_body(self, double now)
    cdef await_body_again(self, double now)
    cdef forget(self)
    @cython.locals(data=bytes, context=ListenerContext, now=double, head=RequestHead)
    cdef bint read_request(self) except -1
    @cython.locals(exchange=Exchange, pos=Py_ssize_t)
    cdef begin(self, RequestHead head, bytes data, double now)
    @cython.locals(size=Py_ssize_t, take=Py_ssize_t, stop=Py_ssize_t, before=long, exchange=Exchange, scanner=ChunkScanner)
    cdef Py_ssize_t read_body(self, bytes data, Py_ssize_t pos, double now) except -1
    cdef body_ended(self)
    @cython.locals(exchange=Exchange, begun=bint)
    cdef break_off(self, object kind, double now)
    @cython.locals(exchange=Exchange)
    cdef leave(self, object kind)
    @cython.locals(crowd=Crowd)
    cpdef uncount(self)
    cpdef on_deadline(self, double now)
    cpdef send_interim(self, ResponseHead head)
    @cython.locals(last=bytes)
    cpdef send_head(self, ResponseHead head, int framing)
    cdef bytes connection_line(self)
    cdef bytes last_lines(self)
    cpdef send_body(self, bytes data)
    @cython.locals(out=list)
    cpdef flush(self)
    cpdef end(self, double now)
    cdef rest(self, double now)
    cpdef abort(self, object kind)
    cpdef respond(self, object spec, double now)
    cpdef refuse(self, object kind, Py_ssize_t retry_after_s, double now)
    cdef reject(self, object kind, double now)
    cdef record_refused(self, object kind, double now)
    cpdef switch(self, ResponseHead head)
    cpdef send_eof(self)
    cpdef close(self, double now)
    cpdef pause(self)
    cpdef resume(self, double now)
    cdef linger(self, double now)
    cdef shut(self, double now)
    cdef drop(self)
    cpdef retire(self, double now)
    cpdef cut(self)
