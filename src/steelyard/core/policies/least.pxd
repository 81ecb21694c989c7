"""C types for least.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick, Policy

cdef class LeastConnections(Policy):
    @cython.locals(
        count=Py_ssize_t, start=Py_ssize_t, step=Py_ssize_t, index=Py_ssize_t, best_step=Py_ssize_t,
        backend=Backend, best=Backend, load=int64_t, weight=int64_t, best_load=int64_t, best_weight=int64_t,
    )
    cpdef Backend pick(self, Pick request)
