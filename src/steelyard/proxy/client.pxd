"""C types for client.py."""

from steelyard.proxy.clock cimport Timed
from steelyard.wire.http1 cimport ResponseHead


cdef class Client(Timed):
    cdef public bint takes_chunks

    cpdef send_interim(self, ResponseHead head)
    cpdef send_head(self, ResponseHead head, int framing)
    cpdef send_body(self, bytes data)
    cpdef flush(self)
    cpdef end(self, double now)
    cpdef abort(self, object kind)
    cpdef respond(self, object spec, double now)
    cpdef refuse(self, object kind, Py_ssize_t retry_after_s, double now)
    cpdef switch(self, ResponseHead head)
    cpdef send_eof(self)
    cpdef close(self, double now)
    cpdef pause(self)
    cpdef resume(self, double now)
