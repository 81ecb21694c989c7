"""C types for sticky.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.homes cimport Homes
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.turns cimport Turns

cdef class StickyRoundRobin(Policy):
    cdef Turns turns
    cdef Homes homes
    cdef list at_row

    @cython.locals(backend=Backend)
    cpdef rebuild(self, backends)
    @cython.locals(home=Backend, backend=Backend)
    cpdef Backend pick(self, Pick request)
    cdef Backend member(self, int64_t row)
