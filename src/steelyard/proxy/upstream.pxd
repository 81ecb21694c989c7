"""C types for upstream.py."""

cimport cython
from steelyard.proxy.clock cimport Timed, Wheel
from steelyard.proxy.peek cimport quiet
from steelyard.proxy.receiver cimport Receiver
from steelyard.wire.chunked cimport ChunkScanner
from steelyard.wire.http1 cimport ResponseHead, response_framing, scan_response
from steelyard.wire.slices cimport cut

cdef int ANSWER_HEAD_BYTES, ANSWER_FIELDS, MAX_INTERIM
cdef double inf
cdef int NO_BODY, LENGTH, CHUNKED, UNKNOWN
cdef int _IDLE, _HEAD, _BODY, _TUNNEL, _CLOSING, _CLOSED


cdef class Upstream(Timed):
    cdef object owner
    cdef Wheel wheel
    cdef public object sock
    cdef int fd
    cdef public object transport
    cdef readonly Receiver receiver
    cdef int state
    cdef bytes buffer
    cdef ChunkScanner scanner
    cdef long remaining
    cdef int framing
    cdef bint keep
    cdef readonly bint reused
    cdef bint to_head_request
    cdef bint decode
    cdef int interims
    cdef bint awaited
    cdef readonly bint paused
    cdef readonly bint full
    cdef Py_ssize_t stalled_at
    cdef double response_s
    cdef readonly double idle_since

    cpdef ask(self, Receiver receiver, bint to_head_request, bint decode, double response_s)
    cpdef write(self, bytes data)
    cpdef write_all(self, list pieces)
    cpdef write_eof(self)
    cpdef await_answer(self, double now)
    cdef watch(self, double now)
    cpdef pause(self)
    cpdef resume(self, double now)
    cpdef detach(self, double now)
    cpdef close(self)
    cpdef finish(self, double now)
    cpdef bint fit(self) except -1
    @cython.locals(receiver=Receiver, now=double)
    cpdef data_received(self, bytes data)
    @cython.locals(pos=Py_ssize_t, begin=Py_ssize_t, ended=bint, head=ResponseHead, told=int)
    cdef read_head(self, Receiver receiver, bytes data, double now)
    cdef switch(self, Receiver receiver, ResponseHead head, bytes data, Py_ssize_t pos, double now)
    @cython.locals(size=Py_ssize_t, take=Py_ssize_t)
    cdef read_body(self, Receiver receiver, bytes data, Py_ssize_t pos, double now)
    @cython.locals(size=Py_ssize_t, stop=Py_ssize_t, before=long, told=long, passed=Py_ssize_t, scanner=ChunkScanner)
    cdef read_chunks(self, Receiver receiver, bytes data, Py_ssize_t pos, double now)
    cdef end(self, Receiver receiver, bint clean, double now)
    @cython.locals(receiver=Receiver)
    cdef fail(self, object kind, str detail, double now)
    cdef lose(self, bint closed_by_backend)
    cdef note_keep_alive(self, bytes head, double now)
    @cython.locals(left=Py_ssize_t)
    cpdef on_deadline(self, double now)
