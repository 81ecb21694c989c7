"""C types for task.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.stable cimport stable_hash
from steelyard.proxy.call cimport Call
from steelyard.proxy.clock cimport Timed
from steelyard.proxy.connections cimport PoolConnections
from steelyard.proxy.context cimport ListenerContext
from steelyard.proxy.guest cimport reset
from steelyard.proxy.reach cimport Reach

cdef int _ASKING, _WORKING, _LINGER, _CLOSING
cdef double inf, LINGER_S


cdef class TaskCall(Call):
    cdef readonly object task

    cpdef object get(self, str name)


cdef class TaskUpstream(Timed):
    cdef TaskDownstream downstream
    cdef readonly object transport
    cdef public object sock
    cdef bint asked
    cdef bint early
    cdef double response_s

    cpdef bint fit(self)
    @cython.locals(downstream=TaskDownstream)
    cdef ask(self, bytes request, double response_s, double now)
    @cython.locals(downstream=TaskDownstream)
    cpdef close(self)
    cdef pause(self)
    cdef resume(self, double now)
    cpdef connection_made(self, transport)
    @cython.locals(downstream=TaskDownstream, now=double)
    cpdef data_received(self, bytes data)
    @cython.locals(downstream=TaskDownstream)
    cpdef bint eof_received(self)
    @cython.locals(downstream=TaskDownstream)
    cpdef connection_lost(self, exc)
    cpdef on_deadline(self, double now)


cdef class TaskDownstream(Reach):
    cdef readonly TaskUpstream upstream
    cdef readonly int state
    cdef bytes bytes_in
    cdef readonly object task
    cdef readonly bint ended
    cdef readonly bint over
    cdef bint full
    cdef double head_by
    cdef str why
    cdef Py_ssize_t stalled_at
    cdef long left

    @cython.locals(context=ListenerContext)
    cpdef connection_made(self, transport)
    cpdef crowded(self)
    cpdef data_received(self, bytes data)
    cdef read_on(self, double now)
    @cython.locals(connections=PoolConnections)
    cdef object names(self)
    cdef decide(self, double now)
    cdef turn_away(self, object kind, bytes line, double now)
    cdef on_bytes_behind(self, double now)
    cpdef bint eof_received(self)
    cpdef object upstream_for(self, Backend backend)
    cpdef on_unconnected(self, object kind, str detail, double now)
    @cython.locals(connections=PoolConnections, worker=TaskUpstream)
    cpdef on_reached(self, object upstream, double now)
    cpdef on_unreached(self, object kind, double now)
    cdef on_answer(self, bytes data, double now)
    @cython.locals(now=double)
    cdef on_answer_end(self)
    @cython.locals(now=double)
    cdef on_worker_lost(self)
    cdef on_worker_late(self, double response_s, double now)
    cpdef pause_writing(self)
    @cython.locals(now=double)
    cpdef resume_writing(self)
    @cython.locals(left=Py_ssize_t)
    cpdef on_deadline(self, double now)
    cdef bint is_silent(self, double now) except -1
    cdef fail(self, object kind, bytes line, double now)
    cdef break_off(self, object kind, double now)
    cdef tell(self, bytes line, double now)
    cdef shut(self, double now)
    @cython.locals(upstream=TaskUpstream, failed=bint)
    cdef finish(self, object kind, double now)
    cpdef connection_lost(self, exc)
    cpdef retire(self, double now)
    @cython.locals(now=double)
    cpdef cut(self)
