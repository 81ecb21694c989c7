"""C types for chunked.py."""

cimport cython
from steelyard.wire.http1 cimport Trailers, scan_trailers

cdef int CR, LF
cdef bytes VALUE
cdef int SEMICOLON, MAX_SIZE_DIGITS, MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, MAX_TRAILER_FIELDS
cdef int _SIZE, _EXTENSION, _SIZE_LF, _DATA, _DATA_CR, _DATA_LF, _TRAILERS, _DONE
cdef bytes HEX


cdef class ChunkScanner:
    cdef int state
    cdef long size
    cdef int digits
    cdef long extension_bytes
    cdef readonly long data_bytes
    cdef readonly bint done
    cdef readonly Py_ssize_t passed
    cdef readonly bytes tail
    cdef bytes held
    cdef readonly list payload

    @cython.locals(end=Py_ssize_t, state=int, c=int, take=Py_ssize_t)
    cpdef Py_ssize_t feed(self, bytes data, Py_ssize_t pos) except -1
    @cython.locals(held=Py_ssize_t, section=Trailers)
    cdef Py_ssize_t feed_trailers(self, bytes data, Py_ssize_t pos) except -1
