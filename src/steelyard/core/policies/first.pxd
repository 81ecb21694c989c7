"""C types for first.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.cheapest cimport Cheapest
from steelyard.core.policy cimport Pick

cdef class First(Cheapest):
    cdef Py_ssize_t last

    cpdef double cost(self, Backend backend, Py_ssize_t at)
    @cython.locals(at=Py_ssize_t)
    cpdef Backend pick(self, Pick request)
