"""C types for clock.py."""

cimport cython

cdef double TICK_S, HORIZON_S, FOREVER_S, inf
cdef int _NO_SLOT


cdef class Timed:
    cdef public double deadline
    cdef long slot

    cdef untimed(self)
    cpdef on_deadline(self, double now)


cdef class Wheel:
    cdef object loop
    cdef object clock
    cdef dict slots
    cdef list order
    cdef object timer
    cdef long timer_slot

    cpdef double now(self) except? -1
    @cython.locals(slot=long)
    cpdef expect(self, Timed timed, double deadline)
    cpdef forget(self, Timed timed)
    @cython.locals(latest=long, members=set)
    cdef place(self, Timed timed, long slot)
    cdef arm(self)
    @cython.locals(now=double, timed=Timed)
    cpdef turn(self)
    cpdef stop(self)
