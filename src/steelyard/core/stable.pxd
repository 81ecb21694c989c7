"""C types for stable.py."""

from libc.stdint cimport uint64_t
cimport cython

cdef uint64_t MASK, GOLDEN, FIRST, SECOND
cdef double PER_UNIT

cpdef uint64_t stable_hash(value) except? 0
@cython.locals(bits=uint64_t)
cpdef uint64_t mix(uint64_t one, uint64_t other) noexcept
cpdef double unit(uint64_t bits) noexcept
