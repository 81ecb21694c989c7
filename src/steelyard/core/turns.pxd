"""C types for turns.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.line cimport Line, by_share
from steelyard.core.policy cimport Pick
from steelyard.core.table cimport Table
from steelyard.core.watch cimport Watch

@cython.final
cdef class Turns:
    cdef Table table
    cdef Py_ssize_t row
    cdef Py_ssize_t cursor
    cdef Watch watch
    cdef list backends
    cdef list order
    cdef int64_t[::1] hops
    cdef Line line
    cdef bint walks
    cdef int64_t turns
    cdef int64_t step
    cdef Py_ssize_t patience

    @cython.locals(backend=Backend)
    cpdef lay(self, backends)
    @cython.locals(turn=int64_t, at=int64_t, skipped=int64_t, hop=int64_t, backend=Backend, _=Py_ssize_t)
    cpdef Backend next(self, Pick request)
    @cython.locals(backend=Backend, at=int64_t, place=int64_t, hop=int64_t)
    cdef look(self)
    @cython.locals(backend=Backend, line=Line)
    cdef Backend among_available(self, Pick request, int64_t turn)
