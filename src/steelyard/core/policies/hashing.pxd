"""C types for hashing.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.keyed cimport Keyed
from steelyard.core.policy cimport Pick

cdef class Hash(Keyed):
    @cython.locals(backend=Backend, length=uint64_t)
    cpdef Backend find(self, Pick request, uint64_t key)
    @cython.locals(backend=Backend, found=Backend, length=uint64_t, unit=int64_t, share=int64_t, point=int64_t)
    cpdef Backend among(self, uint64_t key, list candidates)
