"""C types for learning.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.deck cimport Deck
from steelyard.core.learnt cimport Learnt
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.stable cimport unit

cdef Py_ssize_t CURSOR, IN_FLIGHT
cdef uint64_t STEP, MASK
cdef int64_t LAP

cdef class Learning(Policy):
    cdef readonly double decay_s
    cdef readonly list seats
    cdef readonly dict seat_of
    cdef readonly Learnt together
    cdef Deck deck
    cdef list bounds
    cdef int64_t points
    cdef double shares

    cpdef rebuild(self, backends)
    cdef remember(self, backends)
    cdef Learnt seat(self, Backend backend)
    @cython.locals(backend=Backend, at=int64_t, everything=double, lap=uint64_t)
    cdef Backend owed(self, Pick request, int64_t turn)
    @cython.locals(
        seat=Learnt, backend=Backend, best=Backend, count=Py_ssize_t, step=Py_ssize_t, at=Py_ssize_t,
        more=bint, mean_s=double, share=double, cost=double, best_cost=double, best_requests=double, best_share=double,
    )
    cdef Backend cheapest(self, Pick request, list seats, Py_ssize_t start)
    @cython.locals(seat=Learnt, mean_s=double)
    cpdef ended(self, Pick request, Backend backend, bint failed, double latency_s, double now)
