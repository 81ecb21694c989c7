"""C types for crowd.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython
from steelyard.core.table cimport Table

cdef extern from *:
    """
    /* The caller has read cells[at] before: the index is proven. */
    #define STEELYARD_SWAP(cells, at, before, value) \
        __sync_bool_compare_and_swap((int64_t *)(cells).data + (at), (before), (value))
    """
    int atomic_swap "STEELYARD_SWAP"(int64_t[::1] cells, Py_ssize_t at, int64_t before, int64_t value) noexcept

cdef Py_ssize_t WAYS, COUNT_BITS, MARK_SHIFT
cdef int64_t COUNT_MASK, STEP, HALF

@cython.final
cdef class Crowd:
    cdef Table table
    cdef readonly Py_ssize_t row
    cdef readonly Py_ssize_t lot
    cdef int64_t[::1] cells
    cdef readonly uint64_t sets
    cdef readonly Py_ssize_t ways
    cdef public int64_t most

    @cython.locals(mark=int64_t, first=Py_ssize_t, at=Py_ssize_t, place=Py_ssize_t, cell=int64_t, found=int64_t)
    cpdef bint enter(self, uint64_t key) except -1
    @cython.locals(mark=int64_t, first=Py_ssize_t, at=Py_ssize_t, cell=int64_t)
    cpdef bint leave(self, uint64_t key) except -1
    @cython.locals(lost=int64_t, since=int64_t, at=Py_ssize_t)
    cpdef bint renew(self) except -1
    @cython.locals(found=int64_t)
    cdef bint swap(self, Py_ssize_t at, int64_t before, int64_t value) except -1

@cython.locals(mark=int64_t)
cpdef int64_t mark_of(uint64_t key) noexcept
