"""C types for ring.py."""

from libc.stdint cimport int32_t, int64_t, uint64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.keyed cimport Keyed
from steelyard.core.policy cimport Pick
from steelyard.core.stable cimport mix

cdef Py_ssize_t STEPS
cdef uint64_t PLACE, WHOSE
cdef int64_t NOBODY

cdef class ConsistentHash(Keyed):
    cdef list members
    cdef uint64_t[::1] points
    cdef int32_t[::1] starts
    cdef Py_ssize_t count
    cdef Py_ssize_t shift

    cpdef int arrange(self) except -1
    @cython.locals(
        points=uint64_t[::1], starts=int32_t[::1], shift=Py_ssize_t, at=Py_ssize_t, index=Py_ssize_t,
        number=Py_ssize_t, copy=Py_ssize_t, bucket=Py_ssize_t, to=Py_ssize_t, key=uint64_t, point=uint64_t, start=int32_t, size=int32_t,
    )
    cdef int fill(self, list keys, list numbers, uint64_t[::1] loose, Py_ssize_t buckets) except -1
    @cython.locals(place=uint64_t, at=Py_ssize_t, refused=int64_t, whose=int64_t, backend=Backend, step=Py_ssize_t)
    cpdef Backend find(self, Pick request, uint64_t key)
