"""C types for limiter.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython

cdef extern from *:
    """
    /* The caller has read cells[at] before: the index is proven. */
    #define STEELYARD_SWAP(cells, at, before, value) \
        __sync_bool_compare_and_swap((int64_t *)(cells).data + (at), (before), (value))
    """
    int atomic_swap "STEELYARD_SWAP"(int64_t[::1] cells, Py_ssize_t at, int64_t before, int64_t value) noexcept

cdef Py_ssize_t WAYS, TIME_BITS, MARK_SHIFT
cdef int64_t INTERVAL, SPAN, TIME_MASK, HALF
cdef double TURN

@cython.final
cdef class Limiter:
    cdef int64_t[::1] cells
    cdef readonly uint64_t sets
    cdef readonly Py_ssize_t ways
    cdef double per_s
    cdef int64_t furthest
    cdef int64_t believed

    @cython.locals(
        clock=double, ticks=int64_t, mark=int64_t, first=Py_ssize_t, at=Py_ssize_t, place=Py_ssize_t,
        ahead=int64_t, left=int64_t, cell=int64_t, found=int64_t
    )
    cpdef double take(self, uint64_t key, double now) except -1.0
    @cython.locals(found=int64_t)
    cdef bint swap(self, Py_ssize_t at, int64_t before, int64_t value) except -1

@cython.locals(mark=int64_t)
cpdef int64_t mark_of(uint64_t key) noexcept
