"""C types for keyed.py."""

from libc.math cimport log as c_log
from libc.stdint cimport int64_t, uint64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.line cimport Line, by_share
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.stable cimport mix, unit
from steelyard.core.watch cimport Watch

cdef Py_ssize_t IN_FLIGHT, JUMPS, CROWD
cdef double MILLION, inf

cdef class Keyed(Policy):
    cdef double bound
    cdef double due
    cdef double whole
    cdef bint small
    cdef Py_ssize_t crowd
    cdef Watch watch
    cdef list takers
    cdef int64_t shares
    cdef Line line

    cpdef rebuild(self, backends)
    cpdef int arrange(self) except -1
    cpdef Backend find(self, Pick request, uint64_t key)
    @cython.locals(key=uint64_t, jump=Py_ssize_t, backend=Backend)
    cpdef Backend pick(self, Pick request)
    @cython.locals(backend=Backend, best=Backend, at=double, best_at=double)
    cpdef Backend among(self, uint64_t key, list candidates)
    @cython.locals(backend=Backend, line=Line)
    cdef Backend by_chance(self, Pick request)
    @cython.locals(backend=Backend, line=Line)
    cdef Backend by_draws(self, Pick request)
    cdef bint accepts(self, Pick request, Backend backend)
    cdef bint has_room(self, Backend backend)
    @cython.locals(backend=Backend, able=list, roomy=list, in_flight=int64_t, shares=int64_t)
    cdef list acceptable(self, Pick request)
    @cython.locals(backend=Backend)
    cdef int look(self, bint panic) except -1
    cdef Line all_takers(self)

cpdef double rings_at(uint64_t bits, double rate) noexcept
