"""C types for outlier.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick
from steelyard.core.table cimport Table
from steelyard.core.tally cimport ended_since, failed_since, tally

cdef Py_ssize_t OUTCOMES, EJECTIONS, EJECTED, PENALTIES, WINDOW, WINDOW_FROM, EARLIER_FROM
cdef Py_ssize_t LATEST_BITS, TIMES_BITS
cdef int64_t LATEST, TIMES, WELL
cdef double JITTER, DOUBT_S, MARGIN, ROUNDING, inf

@cython.final
cdef class Outliers:
    cdef readonly Table table
    cdef readonly Py_ssize_t row
    cdef list backends
    cdef int64_t errors
    cdef int64_t in_a_row
    cdef Py_ssize_t among
    cdef int64_t remembered
    cdef int64_t gateway_errors
    cdef bint compares
    cdef double deviations
    cdef double window_s
    cdef int64_t min_requests
    cdef Py_ssize_t min_backends
    cdef double max_ejected
    cdef double penalty_s
    cdef double max_penalty_s
    cdef double window_ends
    cdef double doubt_until
    cdef double nobody_may_go_until

    @cython.locals(outcomes=int64_t)
    cpdef object ended(self, Pick request, Backend backend, bint failed, int status, double now)
    @cython.locals(outcomes=int64_t, latest=int64_t, gateway=bint, runs=int64_t)
    cdef object add_error(self, Pick request, Backend backend, int status, double now)
    @cython.locals(other=Backend, counted=int64_t, before=int64_t, ended=int64_t, failed=int64_t)
    cdef bint others_are_well(self, Backend backend, double now) except -1
    @cython.locals(
        backend=Backend, now_ms=int64_t, ends_ms=int64_t, following_ms=int64_t, fresh=bint,
        counted=int64_t, before=int64_t
    )
    cdef object turn_window(self, Pick request, double now)
    @cython.locals(backend=Backend, counted=int64_t, before=int64_t, ended=int64_t)
    cdef list compare(self, Pick request, double now)
    @cython.locals(before=int64_t, served=double, times=int64_t, lasts_s=double, until_ms=int64_t)
    cdef str eject(self, Pick request, Backend backend, str why, double now)
    @cython.locals(until_ms=int64_t, found=int64_t)
    cpdef bint hold(self, Backend backend, double until_s, double now) except -1
    cdef bint lets_go(self, Backend backend, int64_t until_ms, double now) except -1
    cdef bint may_go(self, Backend backend) except -1
    cdef bint send_away(self, Backend backend, int64_t until_ms) except -1
    @cython.locals(one=Backend, members=Py_ssize_t, left=Py_ssize_t, ejected=Py_ssize_t, present=bint)
    cdef bint is_bearable(self, Backend backend, Py_ssize_t more) except -1

@cython.locals(count=int)
cpdef int ones(int64_t bits) noexcept
