"""C types for counters.py."""

cimport cython
from steelyard.core.table cimport Table

cdef dict _PLACE_OF
cdef Py_ssize_t FIRST, CELL_BITS, CELLS

@cython.final
cdef class Counters:
    cdef readonly Table table

    cpdef int ended(self, object kind) except -1
    cpdef int add(self, Py_ssize_t place) except -1
