"""C types for cheapest.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.watch cimport Watch

cdef Py_ssize_t IN_FLIGHT, NOBODY
cdef double inf

cdef class Cheapest(Policy):
    cdef Watch watch
    cdef Py_ssize_t size
    cdef double[::1] costs
    cdef int64_t[::1] seen
    cdef int64_t seen_in_all
    cdef int64_t[::1] places
    cdef Py_ssize_t first_row
    cdef Py_ssize_t next_look

    @cython.locals(count=Py_ssize_t, at=Py_ssize_t, backend=Backend)
    cpdef rebuild(self, backends)
    cpdef double cost(self, Backend backend, Py_ssize_t at)
    @cython.locals(at=Py_ssize_t)
    cpdef began(self, Pick request, Backend backend)
    @cython.locals(at=Py_ssize_t)
    cpdef ended(self, Pick request, Backend backend, bint failed, double latency_s, double now)
    @cython.locals(found=Py_ssize_t, _=Py_ssize_t)
    cpdef Py_ssize_t cheapest(self, Pick request, Py_ssize_t start, Py_ssize_t reach)
    @cython.locals(
        best=Py_ssize_t, best_cost=double, at=Py_ssize_t, _=Py_ssize_t, count=Py_ssize_t, backend=Backend, cost=double
    )
    cdef Py_ssize_t scan(self, Pick request, Py_ssize_t start)
    @cython.locals(tried=list, backend=Backend, at=Py_ssize_t, found=Py_ssize_t)
    cdef Py_ssize_t untried(self, Pick request, Py_ssize_t start)
    @cython.locals(
        best=Py_ssize_t, best_cost=double, rematches=Py_ssize_t, at=Py_ssize_t, before=double, cost=double
    )
    cdef Py_ssize_t winner(self, Py_ssize_t start)
    @cython.locals(least=double, node=Py_ssize_t)
    cdef Py_ssize_t first_least(self, Py_ssize_t start)
    @cython.locals(backend=Backend, in_flight=int64_t, cost=double)
    cdef double look(self, Py_ssize_t at)
    @cython.locals(node=Py_ssize_t, least=double)
    cdef int put(self, Py_ssize_t at, double cost) except -1
    @cython.locals(at=Py_ssize_t)
    cdef play_all(self)
    @cython.locals(at=Py_ssize_t, place=Py_ssize_t)
    cdef Py_ssize_t place(self, Backend backend)
    @cython.locals(at=Py_ssize_t, place=Py_ssize_t, other=Backend)
    cdef Py_ssize_t place_anew(self, Backend backend)
