"""C types for prequal.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.learning cimport Learning
from steelyard.core.learnt cimport Learnt
from steelyard.core.policy cimport Pick

cdef Py_ssize_t CURSOR, RECENT, MOST_WANTED
cdef double UNIT, GROWTH, DROPPED

@cython.final
cdef class Heard:
    cdef readonly Learnt seat
    cdef readonly int64_t in_flight
    cdef readonly double latency_s
    cdef readonly double at
    cdef readonly int64_t uses

cdef class Prequal(Learning):
    cdef readonly Py_ssize_t keep
    cdef double max_age_s
    cdef double per_request
    cdef double quantile
    cdef readonly list pool
    cdef readonly list recent
    cdef list arrivals
    cdef Py_ssize_t oldest
    cdef readonly list wanted
    cdef double to_ask
    cdef readonly double reuse
    cdef double reuse_left
    cdef bint drop_worst

    @cython.locals(heard=Heard)
    cpdef rebuild(self, backends)
    @cython.locals(found=Backend)
    cpdef Backend pick(self, Pick request)
    @cython.locals(
        heard=Heard, backend=Backend, coldest=Backend, idlest=Backend, usable=Py_ssize_t,
        limit=double, worth=double, load=double, latency=double, least_latency=double, least_load=double,
    )
    cdef Backend choose(self, Pick request)
    @cython.locals(rank=double, index=Py_ssize_t)
    cdef double hot_above(self) except? -1.0
    @cython.locals(heard=Heard)
    cdef age(self, double now)
    @cython.locals(heard=Heard, at=Py_ssize_t)
    cpdef began(self, Pick request, Backend backend)
    @cython.locals(heard=Heard, at=Py_ssize_t, worst=Py_ssize_t, limit=double, value=double, hot=bint,
        worst_hot=bint, worst_value=double)
    cdef Py_ssize_t worst(self, double now) except -1
    @cython.locals(seat=Learnt, count=Py_ssize_t)
    cdef want(self, Pick request)
    cpdef list targets(self)
    @cython.locals(seat=Learnt, before=Heard, fresh=Heard, at=Py_ssize_t, uses_now=int64_t)
    cpdef int heard(self, Backend backend, int64_t in_flight, double latency_s, double now) except -1
    cdef note(self, double load)
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, other=double)
    cdef Py_ssize_t rank(self, double load) except -1

@cython.locals(backend=Backend)
cdef double per_weight(Heard heard) except? -1.0
