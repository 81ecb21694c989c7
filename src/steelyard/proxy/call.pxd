"""C types for call.py."""

from steelyard.core.policy cimport Pick


cdef class Call(Pick):
    cdef readonly str client

    cpdef object get(self, str name)
