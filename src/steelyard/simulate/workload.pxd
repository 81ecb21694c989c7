"""C types for workload.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython
from steelyard.simulate.chance cimport Chance

cdef int POISSON, UNIFORM, RECORDED, EXPONENTIAL, FIXED, BIMODAL

@cython.final
cdef class Workload:
    cdef readonly object trace
    cdef Chance of_arrivals, of_services, of_luck, of_keys, of_workers
    cdef int arrival_kind
    cdef int service_kind
    cdef double share
    cdef double short_work
    cdef double long_work
    cdef readonly double gap
    cdef Py_ssize_t lines
    cdef double scale
    cdef double work_scale
    cdef double span
    cdef double[:] starts
    cdef double[:] works
    cdef readonly Py_ssize_t keys
    cdef Py_ssize_t worker_count
    cdef readonly object zipf
    cdef public uint64_t[::1] hashes
    cdef readonly Py_ssize_t left
    cdef Py_ssize_t drawn
    cdef readonly double at
    cdef readonly double service
    cdef readonly uint64_t luck
    cdef readonly Py_ssize_t key
    cdef readonly Py_ssize_t worker

    @cython.locals(line=Py_ssize_t)
    cpdef bint draw(self) except -1
    cdef Py_ssize_t by_zipf(self, double point) except -1
    cpdef object text(self, str name, Py_ssize_t key)
