"""C types for router.py."""

cimport cython

cdef class Route:
    cdef readonly object spec
    cdef public object pool
    cdef public object respond
    cdef public object limit
    cdef public long long max_body_bytes
    cdef readonly int priority
    cdef readonly bint takes_all
    cdef readonly str path
    cdef bint prefix
    cdef tuple methods
    cdef tuple hosts
    cdef tuple headers
    cdef str content_type

    @cython.locals(name=str, wanted=str)
    cdef bint matches_rest(self, request) except -1
    cdef bint matches_path(self, str path) except -1

cdef class Router:
    cdef readonly tuple routes
    cdef readonly Route only
    cdef bint asks_path

    cpdef Route match(self, request)
    @cython.locals(route=Route)
    cdef Route first(self, request, str path)
