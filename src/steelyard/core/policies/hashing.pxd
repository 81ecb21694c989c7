"""C types for hashing.py."""

from libc.stdint cimport uint64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick, Policy

cdef class Hash(Policy):
    @cython.locals(candidates=list, count=uint64_t)
    cpdef Backend pick(self, Pick request)
