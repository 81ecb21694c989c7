"""C types for random.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick, Policy

cdef class Random(Policy):
    cdef list bounds
    cdef int64_t weights

    cpdef rebuild(self, backends)
    @cython.locals(backend=Backend, candidates=list)
    cpdef Backend pick(self, Pick request)

cdef class PowerOfTwo(Policy):
    cdef Py_ssize_t choices
    cdef list cards

    cpdef rebuild(self, backends)
    @cython.locals(best=Backend, cards=list)
    cpdef Backend pick(self, Pick request)
    @cython.locals(
        backend=Backend, best=Backend, at=Py_ssize_t, drawn=Py_ssize_t, count=Py_ssize_t, found=Py_ssize_t,
        weight=int64_t, load=int64_t, requests=int64_t, difference=int64_t,
        best_weight=int64_t, best_load=int64_t, best_requests=int64_t,
    )
    cdef Backend draw(self, Pick request, list cards, Py_ssize_t draws)
