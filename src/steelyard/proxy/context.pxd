"""C types for context.py."""

from steelyard.core.crowd cimport Crowd
from steelyard.core.door cimport Door
from steelyard.core.router cimport Router
from steelyard.observe.counters cimport Counters
from steelyard.observe.recent cimport Recent
from steelyard.proxy.clock cimport Wheel
from steelyard.wire.peer cimport Peer

cdef int MAX_PEERS


cdef class ListenerContext:
    cdef readonly object loop
    cdef readonly Wheel wheel
    cdef readonly str name
    cdef public Router router
    cdef readonly object networks
    cdef readonly object below
    cdef public object on_record
    cdef public Recent recent
    cdef public Counters counters
    cdef readonly object date_line
    cdef public str local
    cdef readonly Py_ssize_t max_head_bytes
    cdef readonly int max_fields
    cdef readonly bint underscores
    cdef readonly double head_s
    cdef readonly double body_s
    cdef readonly double idle_s
    cdef readonly double write_s
    cdef readonly long long max_in_flight
    cdef readonly double body_byte_s
    cdef dict peers
    cdef public bint stopping
    cdef readonly set downstreams
    cdef readonly Door door
    cdef public Crowd crowd
    cdef public object on_leave

    cpdef Peer peer_of(self, str address)
