"""C types for deck.py."""

from libc.stdint cimport uint64_t
cimport cython
from steelyard.core.learnt cimport Learnt
from steelyard.core.policy cimport Pick
from steelyard.core.stable cimport mix
from steelyard.core.watch cimport Watch

cdef Py_ssize_t MISSES

@cython.final
cdef class Deck:
    cdef Watch watch
    cdef list cards
    cdef list living

    @cython.locals(hand=list, left=list, card=Learnt)
    cpdef list deal(self, Pick request, Py_ssize_t wanted)
    @cython.locals(
        hand=list, card=Learnt, count=Py_ssize_t, draws=Py_ssize_t, drawn=Py_ssize_t, at=Py_ssize_t, found=Py_ssize_t,
        seed=uint64_t, left=uint64_t,
    )
    cpdef list draw(self, Pick request, list cards, Py_ssize_t wanted)
    @cython.locals(card=Learnt)
    cdef list alive(self, bint panic)
