"""C types for station.py."""

from libc.stdint cimport uint64_t
cimport cython
from steelyard.core.policy cimport Pick
from steelyard.core.stable cimport mix, unit
from steelyard.simulate.workload cimport Workload

cdef double NEWS, UNHEARD
cdef Py_ssize_t CROWD
cdef int WELL, AT_ONCE, AFTER_SERVICE, REFUSED

cdef class Visit(Pick):
    cdef Workload workload
    cdef readonly double arrived
    cdef public double asked_at
    cdef readonly double service
    cdef readonly uint64_t luck
    cdef readonly Py_ssize_t source
    cdef readonly Py_ssize_t worker
    cdef public int tries
    cdef readonly bint counted
    cdef public bint failing
    cdef Py_ssize_t ahead
    cdef Visit following

    cpdef object get(self, str name)

@cython.final
cdef class Station:
    cdef readonly double speed
    cdef readonly Py_ssize_t servers
    cdef list troubles
    cdef readonly Py_ssize_t busy
    cdef readonly Py_ssize_t here
    cdef public Py_ssize_t longest
    cdef public Py_ssize_t tries
    cdef double[::1] took
    cdef Visit head
    cdef Visit tail
    cdef readonly bint up
    cdef readonly bint faulty
    cdef readonly double slowness
    cdef readonly double fast_fail
    cdef readonly double fail

    cpdef bint change(self, double now) except -1
    @cython.locals(luck=double)
    cpdef int fate(self, Visit visit) except -1
    cpdef int check(self, uint64_t luck) except -1
    cpdef bint enter(self, Visit visit) except -1
    @cython.locals(found=Visit)
    cpdef Visit leave(self)
    @cython.locals(visit=Visit, following=Visit)
    cpdef list empty(self)
    cpdef double work_time(self, Visit visit)
    @cython.locals(at=Py_ssize_t)
    cpdef int learn(self, Visit visit, double latency) except -1
    @cython.locals(at=Py_ssize_t, away=Py_ssize_t, near=Py_ssize_t)
    cpdef double latency(self)
