"""C types for fields.py."""

cimport cython
from steelyard.wire.slices cimport cut

cdef int CR, LF, SP, HTAB, COLON, UNDERSCORE
cdef bytes TOKEN, VALUE, SLOTS, CODES
cdef list NAMES
cdef int MAX_NAME_BYTES, MAX_LENGTH_DIGITS, SLOT_MASK, FORWARDED_OTHER

@cython.locals(n=Py_ssize_t, i=Py_ssize_t)
cpdef bint same(bytes data, Py_ssize_t start, Py_ssize_t end, bytes lower)

@cython.locals(number=long, i=Py_ssize_t, c=int)
cdef long content_length_of(bytes data, Py_ssize_t start, Py_ssize_t end) except -1


cdef class Head:
    cdef public Py_ssize_t end
    cdef public int minor
    cdef public long content_length
    cdef public bytes length_digits
    cdef public bint chunked
    cdef public bint close
    cdef public bint keep_alive
    cdef public bint names_upgrade
    cdef public bytes upgrade
    cdef public list options
    cdef public list runs

    cdef blank(self)
    cpdef get(self, bytes name)
    @cython.locals(found=list, line=bytes, size=Py_ssize_t)
    cpdef list values(self, bytes name)
    cdef bint note(self, int code, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(
        run=Py_ssize_t, count=int, line=Py_ssize_t, c=int, t=int, h=cython.uint, underscore=bint,
        name_end=Py_ssize_t, value=Py_ssize_t, value_end=Py_ssize_t, index=int, keep=bint,
    )
    cdef Py_ssize_t scan_fields(
        self, bytes data, Py_ssize_t pos, Py_ssize_t end, int max_fields, bint underscores
    ) except -2
    cdef note_connection(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cdef note_length(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cdef note_coding(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cdef finish(self, Py_ssize_t end)
