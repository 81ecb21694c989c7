"""C types for least.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.cheapest cimport Cheapest
from steelyard.core.policy cimport Pick

cdef Py_ssize_t CURSOR

cdef class LeastConnections(Cheapest):
    cpdef double cost(self, Backend backend, Py_ssize_t at)
    @cython.locals(count=Py_ssize_t, start=Py_ssize_t, at=Py_ssize_t)
    cpdef Backend pick(self, Pick request)
