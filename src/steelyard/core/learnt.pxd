"""C types for learnt.py."""

cimport cython
from steelyard.core.backend cimport Backend

cdef extern from "math.h":
    double c_exp "exp"(double x) noexcept

cdef bint COMPILED
cdef double LEAST_S, GUESS_S, inf

cpdef double fade(double age_s, double decay_s) noexcept

cdef class Learnt:
    cdef readonly Backend backend
    cdef readonly double decay_s
    cdef readonly double answers
    cdef readonly double good
    cdef readonly double total_s
    cdef readonly double at

    cdef int blank(self, Backend backend, double decay_s) except -1
    @cython.locals(left=double)
    cpdef int add(self, bint failed, double latency_s, double mean_s, double now) except -1
    cpdef double mean_s(self)
    @cython.locals(left=double)
    cpdef double response_s(self, double mean_s, double now)
    @cython.locals(left=double)
    cpdef double success(self, double now)
    @cython.locals(left=double, good=double)
    cpdef double cost_s(self, double mean_s, double now)


cdef class Peak(Learnt):
    cdef readonly double peak_s

    @cython.locals(left=double, taken_s=double)
    cpdef int add(self, bint failed, double latency_s, double mean_s, double now) except -1
    @cython.locals(left=double, peak_s=double)
    cpdef double cost_s(self, double mean_s, double now)
