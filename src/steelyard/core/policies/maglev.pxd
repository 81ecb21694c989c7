"""C types for maglev.py."""

from libc.stdint cimport int32_t, int64_t, uint64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.keyed cimport Keyed
from steelyard.core.policy cimport Pick
from steelyard.core.stable cimport mix

cdef int32_t FREE

cdef class Maglev(Keyed):
    cdef object table_size
    cdef list members
    cdef int32_t[::1] entries
    cdef uint64_t size

    cpdef int arrange(self) except -1
    @cython.locals(
        entries=int32_t[::1], size=int64_t, count=Py_ssize_t, heaviest=int64_t, index=Py_ssize_t,
        taken=int64_t, turn=int64_t, at=int64_t,
    )
    cdef int fill(self, int64_t[::1] places, int64_t[::1] skips, int64_t[::1] shares, int64_t[::1] credits) except -1
    @cython.locals(backend=Backend, index=Py_ssize_t)
    cpdef Backend find(self, Pick request, uint64_t key)
