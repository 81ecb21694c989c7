"""C types for rotation.py."""

from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.turns cimport Turns

cdef class RoundRobin(Policy):
    cdef Turns turns

    cpdef rebuild(self, backends)
    cpdef Backend pick(self, Pick request)
