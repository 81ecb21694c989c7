"""C types for random.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.line cimport Line, by_share
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.watch cimport Watch

cdef class Random(Policy):
    cdef Watch watch
    cdef Line line
    cdef Py_ssize_t patience

    cpdef rebuild(self, backends)
    @cython.locals(backend=Backend, line=Line, _=Py_ssize_t)
    cpdef Backend pick(self, Pick request)

cdef class PowerOfTwo(Policy):
    cdef Watch watch
    cdef Py_ssize_t choices
    cdef list cards
    cdef dict before
    cdef Py_ssize_t draws

    cpdef rebuild(self, backends)
    @cython.locals(backend=Backend, best=Backend, cards=list)
    cpdef Backend pick(self, Pick request)
    @cython.locals(
        backend=Backend, best=Backend, at=Py_ssize_t, drawn=Py_ssize_t, count=Py_ssize_t, found=Py_ssize_t,
        weight=int64_t, load=int64_t, difference=int64_t, best_weight=int64_t, best_load=int64_t,
    )
    cdef Backend draw(self, Pick request, list cards, Py_ssize_t draws)
    cdef double had(self, Backend backend) except? -1.0
