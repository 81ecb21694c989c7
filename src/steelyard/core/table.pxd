"""C types for table.py."""

from libc.stdint cimport int64_t
cimport cython

cdef extern from *:
    """
    /* The caller has read cells[at] before: the index is proven. Relaxed: the cell orders nothing but itself. */
    #define STEELYARD_FETCH_ADD(cells, at, n) \
        __atomic_fetch_add((int64_t *)(cells).data + (at), (n), __ATOMIC_RELAXED)
    #define STEELYARD_SWAP(cells, at, before, value) \
        __sync_bool_compare_and_swap((int64_t *)(cells).data + (at), (before), (value))
    """
    int64_t atomic_fetch_add "STEELYARD_FETCH_ADD"(int64_t[::1] cells, Py_ssize_t at, int64_t n) noexcept
    int atomic_swap "STEELYARD_SWAP"(int64_t[::1] cells, Py_ssize_t at, int64_t before, int64_t value) noexcept

cdef Py_ssize_t SHARED, COLUMN

@cython.final
cdef class Table:
    cdef int64_t[::1] cells
    cdef readonly object rest
    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t workers
    cdef readonly Py_ssize_t worker
    cdef Py_ssize_t stride
    cdef Py_ssize_t column

    cpdef int64_t get(self, Py_ssize_t row, Py_ssize_t cell)
    cpdef int set(self, Py_ssize_t row, Py_ssize_t cell, int64_t value) except -1
    @cython.locals(at=Py_ssize_t, before=int64_t)
    cpdef int64_t fetch_add(self, Py_ssize_t row, Py_ssize_t cell, int64_t n)
    @cython.locals(at=Py_ssize_t, found=int64_t)
    cpdef bint swap(self, Py_ssize_t row, Py_ssize_t cell, int64_t before, int64_t value) except -1
    cpdef int64_t mine(self, Py_ssize_t row, Py_ssize_t cell)
    @cython.locals(at=Py_ssize_t)
    cpdef int64_t add_mine(self, Py_ssize_t row, Py_ssize_t cell, int64_t n)
    cpdef int set_mine(self, Py_ssize_t row, Py_ssize_t cell, int64_t value) except -1
    cpdef int64_t of_worker(self, Py_ssize_t row, Py_ssize_t worker, Py_ssize_t cell)
    @cython.locals(at=Py_ssize_t, left=Py_ssize_t, added=int64_t)
    cpdef int64_t total(self, Py_ssize_t row, Py_ssize_t cell)
