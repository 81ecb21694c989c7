"""C types for homes.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython

cdef extern from *:
    """
    /* The caller has read cells[at] before: the index is proven. */
    #define STEELYARD_SWAP(cells, at, before, value) \
        __sync_bool_compare_and_swap((int64_t *)(cells).data + (at), (before), (value))
    """
    int atomic_swap "STEELYARD_SWAP"(int64_t[::1] cells, Py_ssize_t at, int64_t before, int64_t value) noexcept

cdef Py_ssize_t WAYS, SET_CELLS, ROW_BITS
cdef int64_t ROW_MASK, LAST, HALF
cdef uint64_t SPREAD, MASK, SIGN

@cython.final
cdef class Homes:
    cdef int64_t[::1] cells
    cdef readonly uint64_t sets
    cdef readonly Py_ssize_t ways

    @cython.locals(
        first=Py_ssize_t, at=Py_ssize_t, place=Py_ssize_t, value=int64_t, newest=int64_t, mine=int64_t
    )
    cpdef int64_t find(self, uint64_t key) except -2
    @cython.locals(
        first=Py_ssize_t, at=Py_ssize_t, place=Py_ssize_t, eldest=Py_ssize_t,
        value=int64_t, newest=int64_t, mine=int64_t, oldest=int64_t
    )
    cpdef int put(self, uint64_t key, int64_t row) except -1
    @cython.locals(at=Py_ssize_t, value=int64_t)
    cdef int make_older(self, Py_ssize_t first) except -1
    @cython.locals(found=int64_t)
    cdef bint swap(self, Py_ssize_t at, int64_t before, int64_t value) except -1

cpdef int64_t seal(uint64_t key, uint64_t row) noexcept
