"""C types for sticky.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.turns cimport Turns

cdef class StickyRoundRobin(Policy):
    cdef Turns turns
    cdef Py_ssize_t clients
    cdef object homes

    cpdef rebuild(self, backends)
    @cython.locals(key=object, home=Backend, backend=Backend)
    cpdef Backend pick(self, Pick request)
