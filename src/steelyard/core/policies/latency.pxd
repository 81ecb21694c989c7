"""C types for latency.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.learning cimport Learning
from steelyard.core.learnt cimport Learnt, Peak
from steelyard.core.policy cimport Pick

cdef Py_ssize_t CURSOR, LOOK_AT_ALL, CHOICES

cdef class LeastResponseTime(Learning):
    @cython.locals(turn=int64_t, found=Backend, count=Py_ssize_t)
    cpdef Backend pick(self, Pick request)

cdef class PeakEwma(Learning):
    cdef Learnt seat(self, Backend backend)
    @cython.locals(found=Backend)
    cpdef Backend pick(self, Pick request)
