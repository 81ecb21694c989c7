"""C types for chance.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython
from steelyard.core.stable cimport mix, unit

cdef extern from "math.h":
    double c_log "log"(double x) noexcept

cdef uint64_t MASK, WORD, LOW

cpdef double ln(double x) noexcept

@cython.final
cdef class Chance:
    cdef uint64_t s0, s1, s2, s3

    @cython.locals(s0=uint64_t, s1=uint64_t, s2=uint64_t, s3=uint64_t, added=uint64_t, drawn=uint64_t, shifted=uint64_t)
    cpdef uint64_t bits(self) noexcept
    cpdef double unit(self) noexcept
    cpdef double exponential(self) noexcept
    @cython.locals(span=uint64_t, product=uint64_t, spare=uint64_t, drawn=uint64_t, limit=uint64_t)
    cpdef int64_t below(self, int64_t n) except? -1
