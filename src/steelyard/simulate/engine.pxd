"""C types for engine.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.pool cimport Pool
from steelyard.core.retry cimport may_retry
from steelyard.simulate.agenda cimport Agenda
from steelyard.simulate.chance cimport Chance
from steelyard.simulate.latencies cimport Latencies
from steelyard.simulate.station cimport Station, Visit
from steelyard.simulate.workload cimport Workload

cdef int64_t KINDS, DONE, PROBED, CHECKED, CHANGED
cdef int WELL_STATUS, NO_STATUS
cdef int WELL, AT_ONCE, AFTER_SERVICE, REFUSED

@cython.final
cdef class Engine:
    cdef readonly object scenario
    cdef readonly list pools
    cdef list probers
    cdef bint probes_travel
    cdef bint probes_late
    cdef bint probing
    cdef bint keyed
    cdef Py_ssize_t base
    cdef Py_ssize_t size
    cdef double service_s
    cdef double probe_delay
    cdef Py_ssize_t max_tries
    cdef bint retry_failures
    cdef readonly Workload workload
    cdef object of_policy
    cdef object below
    cdef Chance of_checks
    cdef Agenda agenda
    cdef readonly list stations
    cdef list served
    cdef list places
    cdef list free
    cdef bint coming
    cdef readonly double now
    cdef readonly Py_ssize_t inside
    cdef readonly Py_ssize_t done
    cdef readonly Py_ssize_t arrived
    cdef readonly Py_ssize_t warmup
    cdef bint measuring
    cdef readonly double measured_from
    cdef readonly double measured_to
    cdef readonly double area
    cdef readonly Latencies latencies
    cdef readonly Py_ssize_t failed
    cdef readonly Py_ssize_t refused
    cdef readonly Py_ssize_t retries
    cdef readonly Py_ssize_t ejections
    cdef readonly list samples
    cdef double sample_every
    cdef double next_sample

    cpdef plan(self)
    @cython.locals(agenda=Agenda, workload=Workload, left=Py_ssize_t, what=int64_t)
    cpdef bint run(self, Py_ssize_t steps) except -1
    cdef int go_to(self, double now) except -1
    @cython.locals(station=Station, longest=Py_ssize_t, total=Py_ssize_t, missed=double)
    cdef sample(self, double now)
    @cython.locals(station=Station)
    cdef int happen(self, int64_t kind, int64_t who) except -1
    @cython.locals(workload=Workload, visit=Visit, pool=Pool, station=Station, counted=bint)
    cdef int arrive(self) except -1
    @cython.locals(index=Py_ssize_t, station=Station, fate=int)
    cdef int send(self, Visit visit, Pool pool, Backend backend) except -1
    @cython.locals(slot=Py_ssize_t)
    cdef int serve(self, Visit visit, Station station, Py_ssize_t index) except -1
    @cython.locals(visit=Visit, following=Visit, station=Station, index=Py_ssize_t, pool=Pool)
    cdef int end_service(self, Py_ssize_t slot) except -1
    @cython.locals(now_s=double, latency_s=double, other=Backend, status=int)
    cdef int answer(self, Visit visit, Pool pool, Backend backend) except -1
    @cython.locals(now_s=double, other=Backend)
    cdef int fail(self, Visit visit, Pool pool, Backend backend, object kind) except -1
    @cython.locals(now_s=double)
    cdef Backend elsewhere(self, Visit visit, Pool pool, Backend backend, object kind)
    cdef int move(self, Visit visit, Pool pool, Backend old, Backend other, double latency_s, int status) except -1
    cdef int finish(self) except -1
    cdef lose_all(self, Station station, Py_ssize_t index)
    cdef check(self, Py_ssize_t index)
    @cython.locals(backend=Backend)
    cdef ask(self, Py_ssize_t worker)
    cdef answer_probe(self, Py_ssize_t index, Py_ssize_t worker)
