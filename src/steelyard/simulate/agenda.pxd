"""C types for agenda.py."""

from libc.stdint cimport int64_t
cimport cython

@cython.final
cdef class Agenda:
    cdef Py_ssize_t room
    cdef double[::1] times
    cdef int64_t[::1] turns
    cdef int64_t[::1] whats
    cdef readonly Py_ssize_t count
    cdef int64_t noted
    cdef readonly double time

    cpdef double first(self)
    @cython.locals(at=Py_ssize_t, above=Py_ssize_t, turn=int64_t)
    cpdef int note(self, double time, int64_t what) except -1
    @cython.locals(
        found=int64_t, last=Py_ssize_t, time=double, turn=int64_t, what=int64_t, at=Py_ssize_t, below=Py_ssize_t
    )
    cpdef int64_t take(self) except? -1
    cdef bint is_before(self, Py_ssize_t at, double time, int64_t turn)
    cdef int move(self, Py_ssize_t source, Py_ssize_t target) except -1
    @cython.locals(times=double[::1], turns=int64_t[::1], whats=int64_t[::1], at=Py_ssize_t)
    cdef int grow(self) except -1
