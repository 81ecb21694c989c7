"""C types for breaker.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.table cimport Table
from steelyard.core.tally cimport before_it, ended_since, failed_since, pack, tally

cdef Py_ssize_t REQUESTS, FAILURES, SLOW, TRIPS, IN_A_ROW, RATES_SINCE, RATES_FROM, SLOW_FROM
cdef int64_t STATE_BITS, STOPS
cdef Py_ssize_t TIME_SHIFT, PASSED_SHIFT
cdef int64_t PASSED_BITS
cdef double OFF, inf

cpdef object state_of(int64_t circuit)
cpdef double ends_at_s(int64_t circuit)
cpdef int64_t passed_of(int64_t circuit)
@cython.locals(after=int64_t)
cpdef int64_t move(
    Table table, Py_ssize_t row, Py_ssize_t cell, int64_t circuit, object event, int64_t until_ms=*, int64_t passed=*
) except -1
cpdef bint wait_is_over(Table table, Py_ssize_t row, Py_ssize_t cell, int64_t circuit, double now) except -1

@cython.final
cdef class Breaker:
    cdef readonly Table table
    cdef readonly Py_ssize_t cell
    cdef readonly bint of_pool
    cdef int64_t most_in_a_row
    cdef double error_rate
    cdef double slow_call_s
    cdef double slow_rate
    cdef bint rated
    cdef int64_t min_requests
    cdef int64_t window_ms
    cdef double open_for_s
    cdef double lost_after_s
    cdef int64_t trials

    cpdef int64_t circuit(self, Py_ssize_t row)
    @cython.locals(slow=bint, runs=int64_t)
    cpdef str note(self, Py_ssize_t row, bint failed, double latency_s, double now)
    @cython.locals(
        now_ms=int64_t, counted=int64_t, were_slow=int64_t, since=int64_t,
        began=int64_t, ended=int64_t, failures=int64_t
    )
    cdef str too_many(self, Py_ssize_t row, bint failed, bint slow, double now)
    cpdef int64_t counted(self, Py_ssize_t row) except -1
    cdef begin_window(self, Py_ssize_t row, int64_t counted, int64_t were_slow)
    cdef str trip(self, Py_ssize_t row, str why, double now)
    cdef str open(self, Py_ssize_t row, int64_t circuit, object event, str why, double now)
    @cython.locals(circuit=int64_t, trial=int64_t, until_ms=int64_t)
    cpdef int64_t admit(self, Py_ssize_t row, double now) except -1
    @cython.locals(passed=int64_t)
    cpdef str decide(self, Py_ssize_t row, int64_t trial, bint failed, double latency_s, double now)
