"""C types for receiver.py."""

from steelyard.proxy.clock cimport Timed
from steelyard.wire.http1 cimport ResponseHead


cdef class Receiver(Timed):
    cpdef on_interim(self, ResponseHead head)
    cpdef bint on_switch(self, ResponseHead head, double now) except -1
    cpdef on_head(self, ResponseHead head, int framing, double now)
    cpdef on_body(self, bytes data, Py_ssize_t size, double now)
    cpdef on_end(self, bint reusable, double now)
    cpdef on_pause(self)
    cpdef on_failed(self, object kind, str detail, double now)
    cpdef on_upstream_full(self)
    cpdef on_upstream_ready(self, double now)
    cpdef on_upstream_eof(self, double now)
