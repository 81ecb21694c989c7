"""C types for rendezvous.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.keyed cimport Keyed, rings_at
from steelyard.core.policy cimport Pick
from steelyard.core.stable cimport mix

cdef Py_ssize_t DIGIT_BITS, FIRST_SHIFT
cdef int64_t NOBODY
cdef Py_ssize_t ROUGH
cdef double STEP, inf

cdef class Rendezvous(Keyed):
    cdef list members
    cdef int64_t[::1] first
    cdef uint64_t[::1] labels
    cdef double[::1] rates
    cdef int64_t[::1] leads

    cpdef int arrange(self) except -1
    @cython.locals(begin=Py_ssize_t, end=Py_ssize_t, low=Py_ssize_t, high=Py_ssize_t, depth=Py_ssize_t, shift=Py_ssize_t, path=uint64_t)
    cdef int plant(self, list keys, list sums) except -1
    @cython.locals(
        node=int64_t, child=int64_t, best=int64_t, to=int64_t, bits=uint64_t, height=int64_t, rate=double, at=double, best_at=double,
    )
    cpdef Backend find(self, Pick request, uint64_t key)
