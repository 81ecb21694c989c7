"""C types for pool.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.breaker cimport Breaker, ends_at_s
from steelyard.core.circuits cimport Circuits
from steelyard.core.outlier cimport Outliers
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.retry cimport RetryBudget
from steelyard.core.stable cimport stable_hash
from steelyard.core.table cimport Table
from steelyard.core.tier cimport Tier

cdef Py_ssize_t IN_FLIGHT
cdef int UP, DOWN, SILENT
cdef Py_ssize_t UNLIMITED
cdef double UNKNOWN_S
cdef int NO_STATUS, OVERTAKEN
cdef int64_t STOPS, NO_TRIAL, REFUSED
cdef double inf

cdef class Refusal:
    cdef readonly object kind
    cdef readonly Py_ssize_t retry_after_s

cdef class Pool:
    cdef readonly object spec
    cdef readonly str name
    cdef readonly Table table
    cdef object outside
    cdef readonly tuple tiers
    cdef readonly Policy policy
    cdef readonly tuple backends
    cdef readonly RetryBudget retry
    cdef public object tell
    cdef readonly Outliers outliers
    cdef readonly Circuits circuits
    cdef readonly Refusal none_up
    cdef readonly Refusal full
    cdef readonly str key
    cdef readonly bint reads_body
    cdef readonly object sticky
    cdef object machine
    cdef readonly bint checked
    cdef readonly Py_ssize_t max_in_flight
    cdef readonly object adaptive

    @cython.locals(backend=Backend, home=Tier, circuits=Circuits, trial=int64_t)
    cpdef object acquire(self, Pick request)
    @cython.locals(home=Tier, bad=bint)
    cpdef int release(
        self, Pick request, Backend backend, bint failed, double now, double latency_s=*, int status=*, bint final=*
    ) except -1
    @cython.locals(backend=Backend, tier=Tier)
    cdef Backend choose(self, Pick request)
    cdef Backend choose_another(self, Pick request, Backend backend)
    cpdef int answered_head(self, Pick request, Backend backend, bint failed, double latency_s, double now) except -1
    @cython.locals(was_away=bint, held=bint)
    cpdef bint hold(self, Backend backend, double until_s, double now) except -1
    cpdef int64_t circuit(self) except? -1
    @cython.locals(free_at=double, backend=Backend, panic=bint)
    cdef Refusal refuse(self, Pick request)
    @cython.locals(wait_s=double)
    cdef Refusal wait_for(self, Breaker rules, double free_at, double now)
    @cython.locals(tier=Tier, count=Py_ssize_t)
    cpdef Py_ssize_t count_in_flight(self) except -1
    cpdef Py_ssize_t limit(self) except -2
    cpdef bint is_at_limit(self) except -1
    @cython.locals(backend=Backend, home=Tier)
    cdef Backend kept(self, Pick request, object sticky)
    @cython.locals(tier=Tier)
    cpdef Py_ssize_t policy_faults(self) except -1
    cpdef bint connect_failed(self, Backend backend, double now) except -1
    cpdef bint answered(self, Backend backend, double now) except -1
    @cython.locals(backend=Backend, home=Tier, circuit=int64_t)
    cpdef bint has_other(self, Pick request) except -1
    cpdef bint bears_retry(self, object kind, double now) except -1
    cpdef int spared_retry(self, object kind) except -1
    cdef bint is_free(self, object kind) except -1
    cpdef bint mark_down(self, Backend backend, double now) except -1
    cpdef bint ended(self, Backend backend, double now) except -1
    cpdef bint returned(self, Backend backend, double now) except -1
    cpdef bint probed(self, Backend backend, bint ok, double now, bint answers=*) except -1
    cdef bint take_note(self, Backend backend, object event, bint answers, double now) except -1
    cdef int take_key(self, Pick request, str name) except -1
