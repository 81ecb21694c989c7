"""C types for policy.py."""

from libc.stdint cimport uint64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.table cimport Table

cdef class Pick:
    cdef public uint64_t key
    cdef public double now
    cdef public list tried
    cdef public bint panic
    cdef public list trials
    cdef public bint whole
    cdef public object below

    cpdef object get(self, str name)
    cpdef object one(self, str name)
    @cython.locals(other=Backend)
    cpdef bint has_tried(self, Backend backend)
    cpdef bint may_take(self, Backend backend)

cdef class Policy:
    cdef readonly object spec
    cdef readonly Table table
    cdef readonly Py_ssize_t row
    cdef public list backends

    cpdef rebuild(self, backends)
    @cython.locals(backend=Backend)
    cpdef list candidates(self, Pick request)
    cpdef Backend pick(self, Pick request)
    cpdef began(self, Pick request, Backend backend)
    cpdef ended(self, Pick request, Backend backend, bint failed, double latency_s, double now)
